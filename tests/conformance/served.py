"""The servers under test, each with the same two stages."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

import onnxsplit as osp
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.model.bundle import StoredBundle
from onnxsplit.progress import SilentProgress
from onnxsplit.runtime.grpc_server import GrpcOptions, GrpcServer
from onnxsplit.runtime.http_server import HttpOptions, HttpServer
from onnxsplit.runtime.served_stages import StageOptions
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from onnxsplit.workflows.served_bundles import load_bundles
from onnxsplit.workflows.stage_services import open_service
from tests.foreign.ray_server import run_ray
from tests.foreign.triton_server import run_triton
from tests.served_bundles import (
    make_typed_feeds,
    write_batched,
    write_counting,
    write_typed,
)

WRITERS: dict[str, Callable[[Path], StoredBundle]] = {
    "batched": write_batched,
    "typed": write_typed,
    "counting": write_counting,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that runs, with the URL of each protocol that it speaks."""

    urls: dict[str, str]
    keeps_states: bool = True
    url: str = ""
    """That by which it is asked now."""


def write_bundles(folder: Path) -> Path:
    """Write a bundle of each kind."""
    for name, write in WRITERS.items():
        write(folder / f"{name}.split")
    return folder


def make_hidden_feeds(columns: int = 2) -> dict[str, Array]:
    """Return what the typed model's server half takes."""
    feeds = make_typed_feeds(columns)
    return {name.replace("x_", "m_"): array for name, array in feeds.items()}


@contextmanager
def open_stages(bundles: Path) -> Iterator[InferenceService]:
    """Load the stages, and the probe."""
    folders = [bundles / f"{name}.split" for name in WRITERS]
    stages = StageOptions(engine=EngineOptions(threads=1))
    models = load_bundles(folders, (), None, stages, None, SilentProgress())
    with open_service(models, ServiceOptions()) as service:
        yield service


@contextmanager
def serve_by_grpc(bundles: Path, workplace: Path) -> Iterator[Served]:
    """Run the embedded gRPC server."""
    del workplace
    with open_stages(bundles) as service, GrpcServer(service, GrpcOptions(port=0)) as server:
        yield Served(urls={"grpc": server.url})


@contextmanager
def serve_by_http(bundles: Path, workplace: Path) -> Iterator[Served]:
    """Run the embedded HTTP server."""
    del workplace
    with open_stages(bundles) as service, HttpServer(service, HttpOptions(port=0)) as server:
        yield Served(urls={"http": server.url})


@contextmanager
def serve_hosted(bundles: Path, workplace: Path) -> Iterator[Served]:
    """Run the application in another's server: uvicorn as it comes, with ASGI's lifespan."""
    del workplace
    application = osp.host([bundles / f"{name}.split" for name in WRITERS], threads=1)
    config = uvicorn.Config(application, lifespan="on", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Served(urls={"http": f"http://127.0.0.1:{listener.getsockname()[1]}"})
        finally:
            server.should_exit = True
            thread.join(60)
    assert not application.is_ready


@contextmanager
def serve_by_triton(bundles: Path, workplace: Path) -> Iterator[Served]:
    """Run NVIDIA's server on what `export` writes."""
    folders = [bundles / f"{name}.split" for name in WRITERS]
    osp.export(folders, workplace / "repository", to="triton")
    (workplace / "run").mkdir()
    with run_triton(workplace / "repository", workplace / "run") as ports:
        yield Served(
            keeps_states=False,
            urls={
                "grpc": f"grpc://127.0.0.1:{ports.grpc}",
                "http": f"http://127.0.0.1:{ports.http}",
            },
        )


@contextmanager
def serve_by_ray(bundles: Path, workplace: Path) -> Iterator[Served]:
    """Run Ray Serve on what `export` writes."""
    folders = [bundles / f"{name}.split" for name in WRITERS]
    osp.export(folders, workplace / "exported", to="ray")
    with run_ray(workplace / "exported", workplace) as port:
        yield Served(urls={"http": f"http://127.0.0.1:{port}"})
