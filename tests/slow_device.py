"""A program: a device as slow as the plan takes it to be, adapting to its link run after run.

``python tests/slow_device.py FOLDER URL INPUTS`` runs on the inputs until stdin ends, and writes a
line of JSON for each run: when, which cut, which way, how long, and whether the outputs are right.
"""

import json
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.bundle import read_bundle
from onnxsplit.runtime.controller import CutController, CutWork
from onnxsplit.runtime.device_half import DeviceHalf
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.link_watch import LinkWatch
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.runtime.served_stages import StageOptions
from onnxsplit.runtime.split_cuts import SplitCut, open_cut
from onnxsplit.tiers import Link


@dataclass(slots=True)
class SlowModel:
    """A model that takes as long as a slow machine would."""

    inner: ServedModel
    seconds: float

    @property
    def metadata(self) -> ModelMetadata:
        return self.inner.metadata

    def infer(self, request: InferRequest) -> InferResponse:
        start = time.perf_counter()
        response = self.inner.infer(request)
        time.sleep(max(0.0, self.seconds - (time.perf_counter() - start)))
        return response

    def close(self) -> None:
        self.inner.close()


def open_cuts(folder: Path) -> tuple[CutController, dict[str, SplitCut]]:
    """Open all cuts of a bundle, slowed down to what the plan says of the device."""
    bundle = read_bundle(folder)
    (planned,) = bundle.manifest.plan["links"]
    link = Link(
        up_bytes_per_second=planned["up_bytes_per_second"],
        down_bytes_per_second=planned["down_bytes_per_second"],
        round_trip_seconds=planned["round_trip_seconds"],
    )
    cuts = {}
    for entry in bundle.manifest.cuts:
        opened = open_cut(
            bundle,
            bundle.manifest.at_cut(entry.id),
            cut=entry.id,
            model=f"{folder.name.removesuffix('.split')}-{entry.id}",
            options=StageOptions(engine=EngineOptions(threads=1)),
            open_session=open_session,
        )
        assert opened.local is not None
        slow = SlowModel(opened.local, CutWork.of(entry).device_seconds)
        cuts[entry.id] = replace(opened, local=slow)
    return CutController(bundle.manifest.cuts, link), cuts


def _wait_for_end(ended: threading.Event) -> None:
    """Wait until nobody holds stdin any more."""
    sys.stdin.read()
    ended.set()


def main(folder: Path, url: str, inputs: Path) -> None:
    """Run until stdin ends."""
    controller, cuts = open_cuts(folder)
    with np.load(inputs) as archive:
        feeds = {name: archive[name] for name in archive.files}
    expected = cuts["all-device"].local
    assert expected is not None
    right = expected.infer(InferRequest(model="", inputs=feeds)).outputs
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    remote = RemoteHalf(partial(HttpTransport, url))
    watch = LinkWatch(controller, remote)
    watch.start()
    half = DeviceHalf(
        cuts,
        remote,
        chooser=controller,
        load_whole=lambda: cuts["all-device"],
        stop_watching=watch.close,
    )
    start = time.perf_counter()
    with half:
        while not ended.is_set():
            result = half.run(feeds)
            is_right = all(
                np.allclose(result.outputs[name], value, rtol=1e-4, atol=1e-5)
                for name, value in right.items()
            )
            line = {
                "seconds": time.perf_counter() - start,
                "cut": result.trace.cut,
                "route": result.trace.route,
                "took_seconds": result.trace.total_seconds,
                "up_bytes_per_second": controller.link.up_bytes_per_second,
                "is_right": is_right,
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
