"""``onnxsplit serve`` as a process of its own: what it prints, and how it ends."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsplit as osp
from onnxsplit.graph import ModelIdentity
from onnxsplit.profiles import OperatorGroup
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest
from tests.contract.workshop import fit
from tests.served_models import ask, ask_json


@dataclass(slots=True, kw_only=True)
class Process:
    """A server that runs, and what it said when it was ready."""

    popen: subprocess.Popen[str]
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.document["url"].rpartition(":")[2])


@contextmanager
def start(*words: str | Path) -> Iterator[Process]:
    """Start a server on a free port, and end it in any case."""
    command = [sys.executable, "-m", "onnxsplit", "serve", *map(str, words)]
    popen = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--port", "0", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert popen.stdout is not None
        line = popen.stdout.readline()
        assert line, popen.communicate()[1]
        yield Process(popen=popen, document=json.loads(line))
    finally:
        popen.kill()
        popen.communicate()


def make_slow_model() -> onnx.ModelProto:
    """Multiply a matrix as often as is asked for."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["more"]),
            helper.make_node("MatMul", ["state", "w"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["a"], "first"),
            helper.make_node("Loop", ["n", "", "a"], ["y"], "again", body=body),
        ],
        "slow",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 64]),
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, 64])],
        [numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(name="bundle", scope="module")
def _cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "slow.split"
    model = make_slow_model()
    profile = osp.Profile(
        model=ModelIdentity(),
        tier="any",
        groups=tuple(
            OperatorGroup(operators=(node.name,), seconds=0.001) for node in model.graph.node
        ),
    )
    return osp.cut(
        model,
        folder,
        device=profile,
        server=profile,
        link="wifi",
        inputs={"x": np.ones((64, 64), np.float32), "n": np.array(1)},
        cut_at=["a"],
        verify=False,
    ).folder


def test_sigterm_finishes_what_was_begun_and_ends_with_0(bundle: Path) -> None:
    body = encode_request(
        InferRequest(
            model="slow", inputs={"a": np.ones((64, 64), np.float32), "n": np.array(60_000)}
        )
    )
    answers: list[Any] = []

    def infer(port: int) -> None:
        path, data = "/v2/models/slow/infer", b"".join(body.buffers)
        answers.append(ask(port, path, method="POST", body=data, headers=body.headers))

    with start(bundle) as process:
        fit(process.document)
        assert process.document["notes"] == []
        assert ask_json(process.port, "/v2/health/ready") == (200, {"ready": True})
        running = threading.Thread(target=infer, args=(process.port,))
        running.start()
        while (
            'pending_request_count{model="slow"} 1' not in ask(process.port, "/metrics")[2].decode()
        ):
            assert running.is_alive()
        process.popen.send_signal(signal.SIGTERM)
        while ask_json(process.port, "/v2/health/ready") == (200, {"ready": True}):
            assert process.popen.poll() is None
        assert ask_json(process.port, "/v2/models/slow/ready")[0] == 503
        running.join()
        out, err = process.popen.communicate(timeout=60)
    assert (process.popen.returncode, out, err) == (0, "", "")
    status, headers, content = answers[0]
    assert status == 200
    response = decode_response(content, head_bytes=int(headers["Inference-Header-Content-Length"]))
    np.testing.assert_array_equal(response.outputs["y"], np.ones((64, 64), np.float32))


def test_a_request_that_does_not_end_holds_the_server_no_longer_than_it_may(bundle: Path) -> None:
    inputs = {"a": np.ones((64, 64), np.float32), "n": np.array(2**40)}
    body = encode_request(InferRequest(model="slow", inputs=inputs))

    def infer(port: int) -> None:
        with suppress(OSError, HTTPException):
            path, data = "/v2/models/slow/infer", b"".join(body.buffers)
            ask(port, path, method="POST", body=data, headers=body.headers, timeout_seconds=60)

    with start(bundle, "--drain", "100ms") as process:
        running = threading.Thread(target=infer, args=(process.port,))
        running.start()
        while b'pending_request_count{model="slow"} 1' not in ask(process.port, "/metrics")[2]:
            assert running.is_alive()
        process.popen.send_signal(signal.SIGTERM)
        _, err = process.popen.communicate(timeout=60)
        running.join()
    assert process.popen.returncode == 1
    assert "--drain" in json.loads(err)["error"]["message"]


def test_an_interrupt_ends_with_130(bundle: Path) -> None:
    with start(bundle, "--quiet", "--grpc-port", "0") as process:
        fit(process.document)
        assert process.document["urls"][1].startswith("grpc://127.0.0.1:")
        process.popen.send_signal(signal.SIGINT)
        _, err = process.popen.communicate(timeout=60)
    assert process.popen.returncode == 130
    assert json.loads(err)["error"]["type"] == "Interrupted"


def test_what_is_open_to_others_is_told(bundle: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with start(bundle, "--host", "0.0.0.0") as process:  # noqa: S104 - that is what is tested
        fit(process.document)
        notes = process.document["notes"]
        assert any("--token-file" in note for note in notes)
        assert any("--tls-cert" in note for note in notes)
    with start(bundle, "--host", "0.0.0.0", "--token-file", token) as process:  # noqa: S104 - likewise
        assert not any("--token-file" in note for note in process.document["notes"])
        assert ask(process.port, "/v2/models/slow")[0] == 401
        shown = {"Authorization": "Bearer secret"}
        assert ask(process.port, "/v2/models/slow", headers=shown)[0] == 200


def test_without_the_extra_it_is_told_how_to_install_it() -> None:
    script = (
        "import sys; sys.modules['uvicorn'] = None;"
        " from onnxsplit.cli.application import run; sys.exit(run(['serve', 'net.split']))"
    )
    finished = subprocess.run(  # noqa: S603 - a fixed script
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert 'pip install "onnxsplit[serve]"' in finished.stderr
    assert "Traceback" not in finished.stderr
