"""A network whose every cut is exported to NVIDIA's server, and run from the device."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import onnxsplit as osp
from tests.foreign.triton_server import TritonPorts, run_triton
from tests.sample_graphs import draw_costs, read_sample

pytestmark = pytest.mark.slow

MODEL = Path(__file__).parents[2] / "samples" / "squeezenet.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnTriton:
    bundle: osp.Bundle
    ports: TritonPorts

    def url(self, protocol: str) -> str:
        return f"{protocol}://127.0.0.1:{getattr(self.ports, protocol)}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnTriton]:
    folder = tmp_path_factory.mktemp("triton")
    profiles = draw_costs(read_sample("squeezenet"))
    device = profiles["device"]
    groups = tuple(replace(group, seconds=group.seconds * 25) for group in device.groups)
    bundle = osp.cut(
        MODEL,
        folder / "net.split",
        device=replace(device, groups=groups),
        server=profiles["server"],
        link="4g",
        frontier=True,
        verify=False,
    )
    osp.export(bundle.folder, folder / "repository", to="triton")
    (folder / "run").mkdir()
    with run_triton(folder / "repository", folder / "run") as ports:
        yield OnTriton(bundle=bundle, ports=ports)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_every_cut_gives_what_the_whole_model_gives(running: OnTriton, protocol: str) -> None:
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    image = np.random.default_rng(11).random(shape, np.float32)
    name = session.get_inputs()[0].name
    expected = session.run(None, {name: image})[0]
    routes = set()
    for cut in running.bundle.manifest.cuts:
        folder, url = running.bundle.folder, running.url(protocol)
        with osp.connect(folder, url, cut=cut.id, fallback="error") as half:
            result = half.run({name: image})
        routes.add(result.trace.route)
        np.testing.assert_allclose(next(iter(result.outputs.values())), expected, rtol=1e-4)
    assert "split" in routes


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_its_link_is_measured_by_the_probe(running: OnTriton, protocol: str) -> None:
    found = osp.probe(running.url(protocol), budget="2s")
    assert found.link.up_bytes_per_second > 1e6
    assert found.link.down_bytes_per_second > 1e6
