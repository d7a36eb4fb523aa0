"""Both halves in processes of their own: what users type, and a server that is killed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.engines.port import Array
from tests.sample_graphs import draw_costs, read_sample

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "samples" / "squeezenet.onnx"

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    url: str
    process: "subprocess.Popen[str]"


@contextmanager
def serve(folder: Path, *words: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "onnxsplit", "serve", str(folder), "--format", "json", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: S603 - our own program
    assert process.stdout is not None
    try:
        yield Server(url=json.loads(process.stdout.readline())["url"], process=process)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def call(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


@pytest.fixture(name="folder", scope="module")
def _cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    profiles = draw_costs(read_sample("squeezenet"))
    bundle = osp.cut(
        MODEL,
        tmp_path_factory.mktemp("two") / "squeezenet.split",
        device=profiles["device"],
        server=profiles["server"],
        cut_at=["fire2/squeeze/relu:0"],
        verify=False,
    )
    return bundle.folder


@pytest.fixture(name="image", scope="module")
def _draw() -> Array:
    return np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)


def test_the_commands_give_what_the_whole_gives(folder: Path, image: Array, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=image)
    with serve(folder, "--port", "0") as server:
        line = ["-m", "onnxsplit", "run", str(folder), "--server", server.url, "--format", "json"]
        finished = call(
            [*line, "--inputs", str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz")]
        )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["routes"] == {"split": 1}
    session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["logits"], {"image": image})
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-5)


def test_a_server_that_is_killed_in_the_middle_costs_no_result(folder: Path, image: Array) -> None:
    with serve(folder, "--port", "0") as server, osp.connect(folder, server.url) as half:
        routes, right = [], half.run({"image": image}).outputs["logits"]
        for step in range(20):
            if step == 7:
                server.process.send_signal(signal.SIGKILL)
            result = half.run({"image": image}, deadline_seconds=10)
            np.testing.assert_allclose(result.outputs["logits"], right, rtol=1e-4, atol=1e-5)
            routes.append(result.trace.route)
    assert routes[:7] == ["split"] * 7
    assert set(routes[8:]) == {"fallback"}


def test_a_decoder_over_two_processes_says_what_the_whole_says() -> None:
    finished = call(["samples/generate.py", "--tokens", "8"])
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("equal\n")
    sent = [line.split()[2] for line in finished.stdout.splitlines() if line.startswith("token")]
    assert len(sent) == 8
    assert len(set(sent[1:])) == 1  # what travels does not grow with the cache
    assert int(sent[-1]) < 2000
