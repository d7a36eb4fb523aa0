"""``serve``: what its options become, what it says, and how it ends."""

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from onnxsplit import workflows
from onnxsplit.cli.application import run
from onnxsplit.graph import TensorSpec
from onnxsplit.progress import Progress
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.messages import ModelMetadata
from onnxsplit.workflows.served_bundles import NextServer
from tests.contract.workshop import fit

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))


@dataclass(slots=True)
class FakeServer:
    """Is told to end as soon as it waits."""

    ended_by: signal.Signals = signal.SIGTERM
    seen: dict[str, Any] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    notes: tuple[str, ...] = ("What travels is not encrypted.",)
    models: tuple[ModelMetadata, ...] = (
        ModelMetadata(name="net", inputs=(X,), outputs=(X,), parameters={"tier": "server"}),
    )

    def serve(self, *arguments: object, progress: Progress, **named: object) -> Self:
        progress.report("loading net")
        self.seen.update(named, arguments=arguments)
        return self

    def wait(self) -> signal.Signals:
        self.steps.append("waited")
        return self.ended_by

    def stop(self) -> bool:
        self.steps.append("stopped")
        return True


@pytest.fixture(name="server")
def _install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeServer:
    for variable in [name for name in os.environ if name.startswith("ONNXSPLIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    server = FakeServer()
    module = SimpleNamespace(serve=server.serve)
    monkeypatch.setattr(workflows, "serving", module, raising=False)
    return server


def test_serve_hands_its_defaults_on(server: FakeServer) -> None:
    assert run(["serve", "net.split"]) == 0
    assert server.seen == {
        "arguments": ([Path("net.split")],),
        "names": (),
        "training": False,
        "tier": None,
        "host": "127.0.0.1",
        "port": 8000,
        "grpc_port": None,
        "tls_cert": None,
        "tls_key": None,
        "tls_client_ca": None,
        "token": None,
        "max_request_bytes": 256 * 2**20,
        "queue": 64,
        "workers": None,
        "threads": None,
        "provider": None,
        "runtime": None,
        "next_server": None,
        "sequences": 64,
        "sequence_seconds": 600.0,
        "drain_seconds": 30.0,
    }
    assert server.steps == ["waited", "stopped"]


def test_serve_hands_every_option_on(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\nmore\n")
    line = (
        "serve a.split b.split --name a --name b --training --tier edge --host 0.0.0.0"
        " --port 0"
        " --grpc-port 8001 --tls-cert s.pem --tls-key s.key --tls-client-ca ca.pem"
        " --token-file token --max-request-bytes 2MB --queue 3 --workers 5 --max-sequences 7"
        " --sequence-expiry 2s --drain 500ms --threads 2 --provider CPUExecutionProvider"
        " --runtime openvino --next https://cloud:9000 --next-name c --next-timeout 3s"
        " --next-token-file token --next-tls-ca ca.pem --next-tls-cert c.pem --next-tls-key c.key"
    )
    assert run(line.split()) == 0
    assert server.seen == {
        "arguments": ([Path("a.split"), Path("b.split")],),
        "names": ("a", "b"),
        "training": True,
        "tier": "edge",
        "host": "0.0.0.0",  # noqa: S104 - a value that is handed on
        "port": 0,
        "grpc_port": 8001,
        "tls_cert": Path("s.pem"),
        "tls_key": Path("s.key"),
        "tls_client_ca": Path("ca.pem"),
        "token": "secret",
        "max_request_bytes": 2_000_000,
        "queue": 3,
        "workers": 5,
        "threads": 2,
        "provider": "CPUExecutionProvider",
        "runtime": "openvino",
        "next_server": NextServer(
            url="https://cloud:9000",
            name="c",
            security=ClientSecurity(
                authorities=Path("ca.pem"),
                certificate=Path("c.pem"),
                key=Path("c.key"),
                token="secret",  # noqa: S106 - a made-up one
            ),
            timeout_seconds=3.0,
        ),
        "sequences": 7,
        "sequence_seconds": 2.0,
        "drain_seconds": 0.5,
    }


def test_people_are_told_on_stderr(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "net.split"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "Serving net (server) at http://127.0.0.1:8000 until SIGTERM or Ctrl-C.\n" in err
    assert "warning: What travels is not encrypted.\n" in err
    assert run(["serve", "net.split", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert server.steps[-1] == "stopped"


def test_programs_are_told_in_one_line_on_stdout(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.urls = ("http://127.0.0.1:8000", "grpc://127.0.0.1:8001")
    assert run(["serve", "net.split", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    document = json.loads(out)
    fit(document)
    assert document["urls"] == ["http://127.0.0.1:8000", "grpc://127.0.0.1:8001"]
    assert document["models"][0]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]


def test_an_interrupt_stops_it_and_is_told(server: FakeServer) -> None:
    server.ended_by = signal.SIGINT
    assert run(["serve", "net.split", "--format", "json"]) == 130
    assert server.steps == ["waited", "stopped"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("", "DIR"),
        ("net.split --port x", "whole number"),
        ("net.split --port -1", "too small"),
        ("net.split --max-request-bytes 5", "unit"),
        ("net.split --drain 5", "unit"),
        ("net.split --token-file nowhere", "nowhere can't be read"),
        ("net.split --runtime tflite", "tflite"),
    ],
)
def test_bad_wishes_are_refused_in_a_sentence(
    server: FakeServer, capsys: pytest.CaptureFixture[str], words: str, problem: str
) -> None:
    assert run(["serve", *words.split()]) == 2
    assert problem in capsys.readouterr().err
    assert server.steps == []
