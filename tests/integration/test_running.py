"""The device half against the embedded server: equal to the whole, whatever happens between."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.port import Array
from onnxsplit.errors import (
    BundleError,
    ChecksumMismatchError,
    PeerMismatchError,
    TransportError,
    UsageError,
)
from onnxsplit.reporting.schemas import load_schema
from onnxsplit.runtime.running_server import RunningServer
from samples.networks import build_reduced
from tests.certificates import Authority
from tests.sample_graphs import draw_costs, read_sample

MODEL = Path(__file__).parents[2] / "samples" / "squeezenet.onnx"
LINK = osp.Link.parse("20 Mbit/s", rtt="15 ms")


def cut(folder: Path, *, frontier: bool = False) -> Path:
    profiles = draw_costs(read_sample("squeezenet"))
    bundle = osp.cut(
        MODEL,
        folder / "squeezenet.split",
        device=profiles["device"],
        server=profiles["server"],
        link=LINK,
        frontier=frontier,
        cut_at=[] if frontier else ["fire2/squeeze/relu:0"],
        verify=False,
    )
    return bundle.folder


@pytest.fixture(name="folder", scope="module")
def _cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut(tmp_path_factory.mktemp("run"))


@pytest.fixture(name="server", scope="module")
def _serve(folder: Path) -> Iterator[RunningServer]:
    with osp.serve(folder, port=0, threads=1) as server:
        yield server


@pytest.fixture(name="images", scope="module")
def _draw() -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, 3, 224, 224)).astype(np.float32) for _ in range(3)]


@pytest.fixture(name="expected", scope="module")
def _run_whole(images: list[Array]) -> list[Array]:
    session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return [session.run(["logits"], {"image": image})[0] for image in images]


def assert_close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_both_halves_together_equal_the_whole(
    folder: Path, server: RunningServer, images: list[Array], expected: list[Array]
) -> None:
    with osp.connect(folder, server.url) as half:
        for image, right in zip(images, expected, strict=True):
            result = half.run({"image": image})
            assert_close(result.outputs["logits"], right)
            assert result.trace.route == "split"
            assert result.trace.server_seconds > 0
            assert result.trace.sent_bytes > 1000


def test_compressed_bodies_give_the_same(
    folder: Path, server: RunningServer, images: list[Array], expected: list[Array]
) -> None:
    sent = {}
    for compress in (False, True):
        with osp.connect(folder, server.url, compress=compress) as half:
            half.run({"image": images[0]})
            result = half.run({"image": images[0]})
            assert_close(result.outputs["logits"], expected[0])
            sent[compress] = result.trace.sent_bytes
    assert sent[True] < 0.9 * sent[False]


def test_a_server_that_stops_is_done_without_and_used_again_when_it_is_back(
    folder: Path, images: list[Array], expected: list[Array]
) -> None:
    with osp.serve(folder, port=0) as first:
        port = int(first.url.rpartition(":")[2])
        half = osp.connect(folder, first.url)
        routes = [half.run({"image": images[0]}).trace.route]
    away = half.run({"image": images[1]})
    assert_close(away.outputs["logits"], expected[1])
    routes.append(away.trace.route)
    with osp.serve(folder, port=port), half:
        for _ in range(200):
            result = half.run({"image": images[2]})
            assert_close(result.outputs["logits"], expected[2])
            routes.append(result.trace.route)
            if result.trace.route == "split":
                break
    assert routes[0] == "split"
    assert set(routes[1:-1]) == {"fallback"}
    assert routes[-1] == "split"


def test_the_half_of_another_model_is_refused(
    server: RunningServer, tmp_path: Path, images: list[Array]
) -> None:
    other = osp.cut(
        build_reduced("squeezenet"), tmp_path / "o.split", link=LINK, measure=0, verify=False
    )
    size = other.manifest.model["sizes"]["image"]
    with (
        osp.connect(other.folder, server.url, name="squeezenet") as half,
        pytest.raises(PeerMismatchError, match="copy the same bundle"),
    ):
        half.run({"image": np.resize(images[0], size)})


def test_a_device_with_its_own_stage_alone_runs_but_cannot_fall_back(
    folder: Path, server: RunningServer, tmp_path: Path, images: list[Array]
) -> None:
    alone = tmp_path / "squeezenet.split"
    alone.mkdir()
    for name in ("device.onnx", "split.json"):
        (alone / name).write_bytes((folder / name).read_bytes())
    with osp.connect(alone, server.url) as half:
        assert half.run({"image": images[0]}).trace.route == "split"
    with (
        osp.connect(alone, "http://127.0.0.1:9") as half,
        pytest.raises(TransportError, match="can't be reached"),
    ):
        half.run({"image": images[0]})
    with pytest.raises(BundleError, match=r"server\.onnx.*--model"):
        osp.connect(alone, server.url, fallback="device")
    with osp.connect(alone, "http://127.0.0.1:9", model=MODEL) as half:
        assert half.run({"image": images[0]}).trace.route == "fallback"


def test_the_model_to_fall_back_to_must_be_the_one_that_was_cut(
    folder: Path,
) -> None:
    with pytest.raises(ChecksumMismatchError, match="not the one"):
        osp.connect(folder, "http://127.0.0.1:9", model=build_reduced("squeezenet"))


def test_each_cut_of_a_bundle_of_several_can_be_run(
    tmp_path: Path, images: list[Array], expected: list[Array]
) -> None:
    folder = cut(tmp_path, frontier=True)
    with osp.serve(folder, port=0) as server:
        for entry in _list_cuts(folder):
            with osp.connect(folder, server.url, cut=entry) as half:
                result = half.run({"image": images[0]})
            assert_close(result.outputs["logits"], expected[0])
            assert result.trace.cut == entry
            assert result.trace.route == ("device" if entry == "all-device" else "split")


def test_a_half_that_adapts_runs_and_ends(
    tmp_path: Path, images: list[Array], expected: list[Array]
) -> None:
    folder = cut(tmp_path, frontier=True)
    with osp.serve(folder, port=0) as server:
        with osp.connect(folder, server.url, adaptive=True) as half:
            for image, right in zip(images, expected, strict=True):
                assert_close(half.run({"image": image}).outputs["logits"], right)
        running = [thread.name for thread in threading.enumerate()]
    assert "onnxsplit-watch" not in running


def test_what_adapts_needs_cuts_and_the_choice(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cut --frontier"):
        osp.connect(folder, "http://h", adaptive=True)
    several = cut(tmp_path, frontier=True)
    with pytest.raises(UsageError, match="--cut-id"):
        osp.connect(several, "http://h", adaptive=True, cut="cut-1")
    with pytest.raises(UsageError, match="--fallback"):
        osp.connect(several, "http://h", adaptive=True, fallback="error")


def _list_cuts(folder: Path) -> list[str]:
    document = json.loads((folder / "split.json").read_text())
    return [entry["id"] for entry in document["cuts"]]


def save(path: Path, images: list[Array]) -> Path:
    first, second, third = images
    arrays = {"image@0": first, "image@1": second, "image@2": third}
    np.savez(path, **arrays)  # type: ignore[arg-type] # names are no keyword of its own
    return path


def test_the_command_line_runs_a_sequence_and_tells_every_part(
    folder: Path,
    server: RunningServer,
    images: list[Array],
    expected: list[Array],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs, output = save(tmp_path / "in.npz", images), tmp_path / "out.npz"
    line = ["run", str(folder), "--server", server.url, "--inputs", str(inputs), "-o", str(output)]
    assert run([*line, "--depth", "2", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, load_schema("run"))
    assert report["routes"] == {"split": 3}
    assert report["predicted"]["parts"].keys() == {"device", "network", "server"}
    with np.load(output, allow_pickle=False) as found:
        assert sorted(found.files) == ["logits@0", "logits@1", "logits@2"]
        for place, right in enumerate(expected):
            assert_close(found[f"logits@{place}"], right)
    assert run(line) == 2
    assert "--force" in capsys.readouterr().err


def test_a_folder_of_files_is_run_by_name(
    folder: Path, server: RunningServer, images: list[Array], expected: list[Array], tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for place, image in enumerate(images):
        np.savez(frames / f"{9 - place}.npz", image=image)
    output = tmp_path / "out.npz"
    line = ["run", str(folder), "--server", server.url, "--inputs", str(frames), "-o", str(output)]
    assert run([*line, "-q"]) == 0
    with np.load(output) as found:
        for place, right in enumerate(reversed(expected)):
            assert_close(found[f"logits@{place}"], right)


def test_pipes_take_and_give_archives(
    folder: Path, server: RunningServer, images: list[Array], expected: list[Array], tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", image=images[0])
    command = [sys.executable, "-m", "onnxsplit", "run", str(folder), "--server", server.url]
    finished = subprocess.run(  # noqa: S603 - our own program
        [*command, "--inputs", "-", "-o", "-"],
        input=(tmp_path / "in.npz").read_bytes(),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    (tmp_path / "out.npz").write_bytes(finished.stdout)
    with np.load(tmp_path / "out.npz") as found:
        assert_close(found["logits"], expected[0])
    assert b"1 run" in finished.stderr


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--inputs", "none.npz"], 2, "no file none.npz"),
        (["--inputs", "-", "--repeat", "0"], 2, "too small"),
        (["--cut-id", "cut-1"], 2, "no cut 'cut-1'"),
        (["--adaptive"], 2, "cut --frontier"),
        (["--deadline", "5"], 2, "5"),
        (["--deadline", "0s"], 2, "positive"),
        (["--served-name", "other"], 3, "No model 'other'"),
        (["--server", "http://127.0.0.1:9", "--fallback", "error"], 3, "can't be reached"),
        (["--server", "127.0.0.1:9"], 2, "must be like http"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    words: list[str],
    code: int,
    complaint: str,
    folder: Path,
    server: RunningServer,
    images: list[Array],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "in.npz", image=images[0])
    defaults = {"--server": server.url, "--inputs": str(tmp_path / "in.npz")}
    line = ["run", str(folder), *words]
    for flag, value in defaults.items():
        line += [] if flag in words else [flag, value]
    assert run(line) == code
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out


def test_pickles_are_never_opened(folder: Path, server: RunningServer, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.array([{"a": 1}], object))
    line = ["run", str(folder), "--server", server.url, "--inputs", str(tmp_path / "in.npz")]
    assert run(line) == 2


def test_a_probed_link_is_one_that_cut_takes(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "link.json"
    line = ["probe", server.url, "-o", str(path), "--budget", "50ms", "--format", "json"]
    assert run(line) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, load_schema("link"))
    assert found == json.loads(path.read_text())
    assert found["evidence"] == "measured"
    plan = osp.plan(MODEL, link=path, require_split=True, device="local:0.05")
    (link,) = plan.topology.links
    assert link.up_bytes_per_second == found["up_bytes_per_second"]
    assert link.evidence == "measured"


def test_options_that_make_no_sense_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="depth"):
        osp.connect(folder, "http://h", depth=0)
    with pytest.raises(UsageError, match="deadline"):
        osp.connect(folder, "http://h", deadline_seconds=0.0)


def test_both_sides_show_certificates_and_the_token(
    folder: Path, tmp_path: Path, images: list[Array], expected: list[Array]
) -> None:
    authority, stranger = (Authority.make(tmp_path, name) for name in ("ours", "theirs"))
    server, client, other = (
        signer.sign(name)
        for signer, name in ((authority, "server"), (authority, "client"), (stranger, "other"))
    )
    shown = osp.ClientSecurity(
        authorities=authority.certificate,
        certificate=client.certificate,
        key=client.key,
        token="s3cret",  # noqa: S106 - of this test
    )
    strangers = {
        "no certificate": replace(shown, certificate=None, key=None),
        "another's certificate": replace(shown, certificate=other.certificate, key=other.key),
        "a server that is not trusted": replace(shown, authorities=stranger.certificate),
        "no token": replace(shown, token=None),
    }
    with osp.serve(
        folder,
        port=0,
        tls_cert=server.certificate,
        tls_key=server.key,
        tls_client_ca=authority.certificate,
        token="s3cret",  # noqa: S106 - of this test
    ) as running:
        with osp.connect(folder, running.url, security=shown) as half:
            assert_close(half.run({"image": images[0]}).outputs["logits"], expected[0])
            assert_close(half.run({"image": images[1]}).outputs["logits"], expected[1])
        for security in strangers.values():
            with (
                osp.connect(folder, running.url, security=security, fallback="error") as half,
                pytest.raises(TransportError),
            ):
                half.run({"image": images[0]}, deadline_seconds=10)
