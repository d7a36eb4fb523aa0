"""NVIDIA's own client against every server: ours must answer it as Triton does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from onnxsplit.engines.port import Array
from onnxsplit.model.bundle import read_bundle
from onnxsplit.runtime.metadata_codec import write_metadata
from onnxsplit.runtime.served_stages import describe_stage
from tests.conformance.served import (
    Served,
    make_hidden_feeds,
    serve_by_grpc,
    serve_by_http,
    serve_by_triton,
    write_bundles,
)
from tests.foreign.environment import run_program

pytestmark = pytest.mark.slow

SERVERS = {"our HTTP": serve_by_http, "our gRPC": serve_by_grpc, "Triton": serve_by_triton}
PROTOCOLS = {"our HTTP": ("http",), "our gRPC": ("grpc",), "Triton": ("http", "grpc")}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest, bundles: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with SERVERS[request.param](bundles, tmp_path_factory.mktemp("server")) as server:
        assert tuple(sorted(server.urls)) == tuple(sorted(PROTOCOLS[request.param]))
        yield server


def make_feeds(model: str) -> dict[str, Array]:
    if model == "typed":
        return make_hidden_feeds()
    return {"h": np.random.default_rng(7).normal(size=(5, 4)).astype(np.float32)}


def ask(url: str, model: str, folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Have the client ask; return its report and the outputs that it got."""
    plain: dict[str, Any] = {
        name: array.astype(str) if array.dtype.kind == "O" else array
        for name, array in make_feeds(model).items()
    }
    np.savez(folder / "in.npz", **plain)
    protocol = urlsplit(url).scheme
    report = run_program(
        "ask_server.py",
        protocol,
        urlsplit(url).netloc,
        model,
        folder / "in.npz",
        folder / f"{protocol}.npz",
    )
    return report, dict(np.load(folder / f"{protocol}.npz"))


@pytest.mark.parametrize("model", ["batched", "typed"])
def test_the_client_finds_what_it_expects_and_gets_what_it_asks_for(
    served: Served, bundles: Path, tmp_path: Path, model: str
) -> None:
    manifest = read_bundle(bundles / f"{model}.split").manifest
    expected = write_metadata(describe_stage(manifest, manifest.stages[-1], name=model))
    for url in served.urls.values():
        report, outputs = ask(url, model, tmp_path)
        assert [report["live"], report["ready"], report["model_ready"]] == [True, True, True]
        assert report["other_ready"] is False
        assert report["ready_after"] is True
        assert report["id"] == "42"
        for side in ("inputs", "outputs"):
            assert report[side] == {
                entry["name"]: [entry["datatype"], entry["shape"]] for entry in expected[side]
            }
        check_outputs(model, outputs)


@pytest.mark.parametrize("model", ["batched", "typed"])
def test_wrong_requests_are_refused_with_the_codes_that_the_client_knows(
    served: Served, tmp_path: Path, model: str
) -> None:
    codes = {
        "http": ["404", "404", "400"],
        "grpc": ["StatusCode.NOT_FOUND", "StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT"],
    }
    for protocol, url in served.urls.items():
        report, _ = ask(url, model, tmp_path)
        assert [refusal.split(":")[0] for refusal in report["refusals"]] == codes[protocol]
        assert all(len(refusal.split(":", 1)[1]) > 10 for refusal in report["refusals"])


def check_outputs(model: str, outputs: dict[str, Array]) -> None:
    """Compare with what was sent, or with numpy."""
    feeds = make_feeds(model)
    if model == "batched":
        v = np.array([[1, -1], [2, -2], [3, -3], [4, -4]], dtype=np.float32)
        expected = 1 / (1 + np.exp(-(feeds["h"] @ v)))
        np.testing.assert_allclose(outputs["y"], expected, rtol=1e-5, atol=1e-6)
        return
    assert len(outputs) == len(feeds)
    for name, array in outputs.items():
        sent = feeds[name.replace("y_", "m_")]
        if sent.dtype.kind == "O":
            assert array.tolist() == sent.tolist()
        else:
            assert array.dtype == sent.dtype
            assert array.tobytes() == sent.tobytes(), name
