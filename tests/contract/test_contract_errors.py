"""How commands fail, seen from outside: one sentence, an exit code, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from samples.networks import build
from tests.contract.workshop import Command, Finished, Workshop, make_net


def check_sentence(finished: Finished, *, code: int) -> str:
    """Check the form of a failure and return its sentence."""
    assert finished.code == code, finished.err
    assert finished.out == ""
    assert "Traceback" not in finished.err
    last = finished.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith((".", "?"))
    return last


def save_single(path: Path) -> None:
    """Save a model of one operator, which has no proper split."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    onnx.save(helper.make_model(graph, ir_version=9), path)


BAD_OPTIONS = [
    ("--link 20", ["20", "unit"]),
    ("--link carrier-pigeon", ["carrier-pigeon", "wifi"]),
    ("--uplink 3", ["3", "unit"]),
    ("--rtt 5", ["5", "unit"]),
    ("--link 0Mbit/s", ["positive"]),
    ("--device local:fast", ["local:fast"]),
    ("--device local:0", ["local:0"]),
    ("--device no-such.json", ["no-such.json"]),
    ("--shape image=1,3", ["image"]),
    ("--shape picture=1,3,32,32", ["picture"]),
    ("--shape image", ["--shape x=1,3,224,224"]),
    ("--dim batch=none", ["--dim batch=1"]),
    ("--inputs no-such.npz", ["no-such.npz"]),
    ("--pin-device nothing*", ["nothing*"]),
    ("--cut-at no-such-tensor", ["no-such-tensor"]),
    ("--provider MagicExecutionProvider", ["MagicExecutionProvider"]),
    ("--threads 0", ["--threads"]),
    ("--min-share 2", ["--min-share"]),
    ("--measure -1", ["--measure"]),
    ("--measure many", ["--measure"]),
    ("--stage-times no-such.json", ["no-such.json"]),
    ("--costs no-such.csv", ["--costs", "no-such.csv"]),
    ("--device-scale no-such.csv", ["--device-scale", "no-such.csv"]),
    ("--tier phone=local", ["--tier", "phone", "at least two"]),
    ("--tier phone", ["--tier", "phone"]),
    ("--tier a=local --tier a=local", ["--tier", "'a' twice"]),
    ("--tier a=local --tier b=local --tier c=local", ["need 2 links", "not 1", "2 times"]),
    ("--tier a=local --tier b=local --device local:0.5", ["--tier", "--device"]),
    ("--link wifi --link wifi", ["need 1 link", "not 2"]),
    ("--pin nosuch=conv1", ["--pin nosuch=conv1", "device, server"]),
    ("--pin conv1", ["--pin", "conv1"]),
    ("--input-at nosuch=server", ["--input-at nosuch=server", "image"]),
    ("--output-at scores=moon", ["--output-at scores=moon", "device or server"]),
    ("--state past_*", ["--state", "PAST=PRESENT"]),
    ("--state past_*=present_*", ["--state", "past_*"]),
    ("--device-ops no-such.txt", ["--device-ops", "no-such.txt"]),
    ("--ban-tensor nothing*", ["--ban-tensor nothing*"]),
    ("--ban-dtype floaty", ["--ban-dtype floaty", "float"]),
    ("--private nothing*", ["--private nothing*"]),
    ("--private-depth -1", ["--private-depth"]),
    ("--keep-together nothing*", ["--keep-together nothing*"]),
    ("--device-memory 512", ["512", "unit"]),
    ("--server-memory much", ["much"]),
    ("--max-energy 0.5J", ["--max-energy", "--device-watts"]),
    ("--max-energy 3 --device-watts 1", ["3", "unit"]),
    ("--max-latency 3", ["3", "unit"]),
    ("--least-share 60%", ["--least-share"]),
    ("--objective energy", ["--objective energy", "--device-watts"]),
    ("--joules-per-second 1", ["--joules-per-second", "--objective energy"]),
    ("--device-watts -1", ["compute_watts", "-1"]),
    ("--no-such-option", ["--no-such-option"]),
    ("--format xml", ["xml"]),
    ("--config no-such.toml", ["no-such.toml"]),
]


@pytest.mark.parametrize(("options", "wanted"), BAD_OPTIONS)
def test_a_bad_option_gets_one_sentence_that_names_it(
    workshop: Workshop, command: Command, desk: Path, options: str, wanted: list[str]
) -> None:
    finished = command("cut", workshop.model, *options.split(), folder=desk)
    sentence = check_sentence(finished, code=2)
    assert [word for word in wanted if word not in sentence] == [], sentence


@pytest.mark.parametrize("name", ["cut", "profile", "plan", "inspect"])
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "truncated"])
def test_what_is_no_model_is_refused_by_name(
    command: Command, desk: Path, tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "broken.onnx"
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("hello, this is not a model\n" * 20, encoding="utf-8")
        case "truncated":
            path.write_bytes(make_net().SerializeToString()[:700])
    assert "broken.onnx" in check_sentence(command(name, path, folder=desk), code=2)


def break_bundle(folder: Path, kind: str) -> None:
    """Break a bundle in one way."""
    manifest = folder / "split.json"
    match kind:
        case "missing":
            shutil.rmtree(folder)
        case "no manifest":
            manifest.unlink()
        case "no JSON":
            manifest.write_text("{", encoding="utf-8")
        case "newer":
            document = json.loads(manifest.read_text(encoding="utf-8"))
            manifest.write_text(json.dumps({**document, "schema": "onnxsplit.bundle/9"}), "utf-8")
        case "lost stage":
            (folder / "server.onnx").unlink()


@pytest.mark.parametrize("kind", ["missing", "no manifest", "no JSON", "newer", "lost stage"])
def test_what_is_no_bundle_is_refused(
    workshop: Workshop, command: Command, desk: Path, tmp_path: Path, kind: str
) -> None:
    folder = shutil.copytree(workshop.bundle, tmp_path / "bundle")
    break_bundle(folder, kind)
    check_sentence(command("verify", folder, folder=desk), code=2)
    check_sentence(command("merge", folder, "-o", "whole.onnx", folder=desk), code=2)


def test_a_changed_stage_is_found_by_its_hash(
    workshop: Workshop, command: Command, desk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(workshop.bundle, folder)
    with (folder / "server.onnx").open("ab") as file:
        file.write(b"\x00")
    sentence = check_sentence(command("verify", folder, folder=desk), code=2)
    assert "server.onnx" in sentence


def test_stages_of_other_weights_fail_parity_with_exit_one(
    workshop: Workshop, command: Command, desk: Path, tmp_path: Path
) -> None:
    other = make_net()
    weights = next(entry for entry in other.graph.initializer if entry.name == "w3")
    changed = onnx.numpy_helper.to_array(weights) + np.float32(0.5)
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, "w3"))
    onnx.save(other, tmp_path / "other.onnx")
    arguments = ("verify", workshop.bundle, "--model", tmp_path / "other.onnx")
    finished = command(*arguments, "--format", "json", folder=desk)
    assert finished.code == 1, finished.err
    document = finished.document()
    assert document["passed"] is False
    assert document["outputs"][0]["problem"]
    finished = command(*arguments, folder=desk)
    assert finished.code == 1
    assert "Parity failed" in finished.out


def test_a_profile_of_another_model_is_refused(
    workshop: Workshop, command: Command, desk: Path, tmp_path: Path
) -> None:
    save_single(tmp_path / "single.onnx")
    finished = command("plan", tmp_path / "single.onnx", *workshop.cut_options(), folder=desk)
    check_sentence(finished, code=2)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["profile"], "MODEL"),
        (["profile", "net.onnx", "--stages", "net.split"], "--stages"),
        (["profile", "--stages", "net.split", "--dim", "batch=1"], "--dim"),
        (["profile", "--stages", "net.split", "--tier", "edge"], "device, server"),
        (["profile", "--stages", "nowhere"], "nowhere"),
        (["profile", "--stages", "net.split", "--trace", "t.json"], "--trace"),
        (["profile", "net.onnx", "--trace", "no-such.json"], "no-such.json"),
        (["profile", "net.onnx", "--trace", "net.onnx"], "no complete run"),
        (["profile", "net.onnx", "--optimized", "net.onnx"], "--trace"),
        (["profile", "net.onnx", "--memory", "512"], "unit"),
        (["profile", "net.onnx", "--memory", "10B"], "does not fit"),
    ],
)
def test_profile_says_what_is_wrong_with_its_options(
    workshop: Workshop, command: Command, arguments: list[str], wanted: str
) -> None:
    assert wanted in check_sentence(command(*arguments, folder=workshop.folder), code=2)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"schema": "onnxsplit.stages/9"}, "onnxsplit.stages/1"),
        ({"model": {"sha256": "ab" * 32, "structure": "cd" * 32}}, "another model"),
        ({"sizes": {"image": [2, 3, 32, 32]}}, "image"),
        ({"stages": [{"tier": "device"}]}, "crossings"),
        (
            {"stages": [{"tier": "d", "crossings": [], "operators": 1, "seconds": 0, "runs": 1}]},
            "0",
        ),
    ],
)
def test_stage_times_that_do_not_fit_are_refused(
    workshop: Workshop,
    command: Command,
    desk: Path,
    tmp_path: Path,
    change: dict[str, object],
    wanted: str,
) -> None:
    file = tmp_path / "times.json"
    timed = command(
        "profile", "--stages", workshop.bundle, "-o", file, "--budget", "1ms", folder=desk
    )
    assert timed.code == 0, timed.err
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**document, **change}), encoding="utf-8")
    options = (workshop.model, *workshop.cut_options(), "--stage-times", file)
    assert wanted in check_sentence(command("cut", *options, folder=desk), code=2)


def test_no_proper_split_is_a_valid_no(command: Command, desk: Path, tmp_path: Path) -> None:
    save_single(tmp_path / "single.onnx")
    check_sentence(command("cut", tmp_path / "single.onnx", folder=desk), code=1)


def test_contradicting_pins_are_a_valid_no(
    workshop: Workshop, command: Command, desk: Path
) -> None:
    finished = command(
        "cut",
        workshop.model,
        *workshop.cut_options(),
        "--pin-device",
        "classify",
        "--pin-server",
        "conv1",
        folder=desk,
    )
    check_sentence(finished, code=1)


def test_a_folder_of_somebody_else_is_left_alone_without_force(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work", encoding="utf-8")
    arguments = ("cut", workshop.model, *workshop.cut_options(), "-o", "taken")
    sentence = check_sentence(command(*arguments, folder=tmp_path), code=2)
    assert "--force" in sentence
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.txt"]
    assert command(*arguments, "--force", folder=tmp_path).code == 0
    assert (tmp_path / "taken" / "split.json").is_file()


def test_merge_overwrites_nothing_without_force(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "whole.onnx").write_text("years of work", encoding="utf-8")
    arguments = ("merge", workshop.bundle, "-o", "whole.onnx")
    assert "--force" in check_sentence(command(*arguments, folder=tmp_path), code=2)
    assert (tmp_path / "whole.onnx").read_text(encoding="utf-8") == "years of work"
    assert command(*arguments, "--force", folder=tmp_path).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["cut", "no-such.onnx"], 2, "ModelError"),
        (["cut", "no-such.onnx", "--link", "20"], 2, "UsageError"),
        (["cut", "no-such.onnx", "--no-such-option"], 2, "UsageError"),
        (["verify", "no-such"], 2, "BundleError"),
    ],
)
def test_errors_are_json_when_json_was_asked_for(
    command: Command, desk: Path, arguments: list[str], code: int, kind: str
) -> None:
    finished = command(*arguments, "--format", "json", folder=desk)
    assert finished.code == code
    assert finished.out == ""
    error = finished.error()
    assert error["exit_code"] == code
    assert error["type"] == kind
    assert finished.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_an_interrupt_ends_work_with_one_line_and_leaves_nothing(
    environment: dict[str, str], desk: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.onnx"
    slow.write_bytes(build("vgg19", width=1 / 4).SerializeToString())
    before = sorted(desk.iterdir())
    running = subprocess.Popen(  # noqa: S603 - our own program
        [
            sys.executable,
            "-m",
            "onnxsplit",
            "profile",
            str(slow),
            "-o",
            "p.json",
            "--budget",
            "100s",
            "--no-cache",
        ],
        cwd=desk,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if b"profiling" in line:
            break
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == b""
    assert err.decode().splitlines()[-1] == "error: Interrupted."
    assert b"Traceback" not in err
    assert sorted(desk.iterdir()) == before


def test_a_reader_that_leaves_early_is_no_failure(
    workshop: Workshop, environment: dict[str, str], desk: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "onnxsplit", "inspect", str(workshop.model), "--format", "json"],
        cwd=desk,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_told(
    workshop: Workshop, environment: dict[str, str], desk: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        finished = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "onnxsplit", "inspect", str(workshop.model), "-q"],
            cwd=desk,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert finished.returncode == 2
    assert b"No space left" in finished.stderr
    assert b"Traceback" not in finished.stderr
