"""Over emulated links: the probe finds their figures, predictions hold, and cuts follow them."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

import onnxsplit as osp
from samples.networks import build
from tests.emulated_links import (
    ROOT,
    EmulatedLink,
    explain_absence,
    serve_beyond,
)

ABSENCE = explain_absence()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(bool(ABSENCE), reason=ABSENCE),
]

MBIT = 125_000.0
PAYLOAD = 1448 / 1500
"""Of a full packet, what is not header."""
PATIENCE_SECONDS = 60.0


@pytest.fixture(name="link")
def _emulate() -> Iterator[EmulatedLink]:
    with EmulatedLink() as link:
        link.set(up=100 * MBIT, round_trip_seconds=0.005)
        yield link


def call(link: EmulatedLink, *words: str) -> dict[str, Any]:
    """Run a command of ours at the device's end, and return what it says."""
    process = link.start(
        link.device_space,
        ["-m", "onnxsplit", *words, "--format", "json"],
        stdout=subprocess.PIPE,
    )
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    document: dict[str, Any] = json.loads(said)
    return document


def cut_frontier(folder: Path) -> Path:
    """Cut a network for a device that takes about 0.2 s for it and a server that takes 0.01 s."""
    model = ROOT / "samples" / "squeezenet.onnx"
    profile = osp.profile(model, folder / "profile.json", threads=1)
    whole = sum(group.seconds for group in profile.groups)
    bundle = osp.cut(
        model,
        folder / "squeezenet.split",
        device=f"local:{whole / 0.2:.6f}",
        server="local",
        threads=1,
        link="100 Mbit/s",
        rtt="5 ms",
        frontier=True,
        verify=False,
    )
    return bundle.folder


@pytest.mark.parametrize(("up", "down", "trip"), [(100, 100, 0.01), (10, 20, 0.05), (2, 4, 0.1)])
def test_the_probe_finds_rates_within_five_percent(
    link: EmulatedLink, tmp_path: Path, up: float, down: float, trip: float
) -> None:
    bundle = osp.cut(ROOT / "samples" / "squeezenet.onnx", tmp_path / "s.split", measure=0)
    with serve_beyond(link, bundle.folder) as url:
        link.set(up=up * MBIT, down=down * MBIT, round_trip_seconds=trip)
        found = call(link, "probe", url)
    assert found["up_bytes_per_second"] == pytest.approx(up * MBIT * PAYLOAD, rel=0.05)
    assert found["down_bytes_per_second"] == pytest.approx(down * MBIT * PAYLOAD, rel=0.05)
    assert found["round_trip_seconds"] >= trip
    assert found["probe"]["cold_seconds"] >= 2 * trip  # a new connection costs a round trip more


@contextmanager
def run_slow_device(
    link: EmulatedLink, folder: Path, url: str, inputs: Path
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run a slow device that adapts; gives what returns the next run, waiting for it."""
    process = link.start(
        link.device_space,
        [str(ROOT / "tests" / "slow_device.py"), str(folder), url, str(inputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = process.stdout

    def read() -> dict[str, Any]:
        line = lines.readline()
        assert line, "the device ended"
        run: dict[str, Any] = json.loads(line)
        return run

    try:
        yield read
    finally:
        process.stdin.close()
        process.wait(PATIENCE_SECONDS)
        lines.close()


NEAR = 1.2
"""Times as long as the best cut that another may take which the controller need not leave."""


def find_best(folder: Path, mbit: float) -> set[str]:
    """Return the cuts that are best at a rate by the manifest, or nearly so."""
    document = json.loads((folder / "split.json").read_text())
    rate = mbit * MBIT * PAYLOAD
    seconds = {
        cut.id: cut.predict_seconds(
            up_bytes_per_second=rate, down_bytes_per_second=rate, round_trip_seconds=0.005
        )
        for cut in osp.Manifest.from_json(document).cuts
    }
    return {name for name, value in seconds.items() if value < NEAR * min(seconds.values())}


def test_a_run_that_adapts_loses_nothing_from_100_to_6_to_0_to_100_mbit(
    link: EmulatedLink, tmp_path: Path
) -> None:
    folder = cut_frontier(tmp_path)
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image)
    fast, slow = find_best(folder, 100), find_best(folder, 6)
    assert not fast & slow, "the link must matter for this network"
    with (
        serve_beyond(link, folder) as url,
        run_slow_device(link, folder, url, tmp_path / "in.npz") as read,
    ):
        for mbit, wanted in ((100, fast), (6, slow), (0, {"all-device"}), (100, fast)):
            link.set(up=mbit * MBIT, round_trip_seconds=0.005)
            runs: list[dict[str, Any]] = []
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(runs) < 8 or not {run["cut"] for run in runs[-8:]} <= wanted:
                assert time.monotonic() < deadline, list_cuts(runs)
                runs.append(read())
                assert runs[-1]["is_right"]
            last = runs[-1]
            assert last["route"] == ("device" if last["cut"] == "all-device" else "split")


def list_cuts(runs: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Say which cuts ran, one after the other, and how often."""
    return [(cut, len(list(group))) for cut, group in groupby(run["cut"] for run in runs)]


def find_error(bundle: osp.Bundle, report: dict[str, Any], link: dict[str, Any]) -> float:
    """Return how far runs are from what they computed plus what the probed link predicts."""
    crossing = sum(entry["bytes"] for entry in bundle.manifest.crossings)
    back = sum(entry["bytes"] for entry in bundle.manifest.plan["downloads"])
    network = (
        link["round_trip_seconds"]
        + crossing / link["up_bytes_per_second"]
        + back / link["down_bytes_per_second"]
    )
    warm = [trace for trace in report["traces"] if not trace["is_fresh"]]
    assert len(warm) >= 5
    errors: list[float] = [
        (trace["parts"]["device"] + trace["parts"]["server"] + network) / trace["total_seconds"] - 1
        for trace in warm
    ]
    return median(errors)


NETWORKS = {
    "squeezenet": {"image_size": 224},
    "mobilenetv2": {"image_size": 128},
    "resnet18": {"image_size": 96},
}


def test_latency_is_predicted_within_five_percent_on_three_links_for_three_networks(
    link: EmulatedLink, tmp_path: Path
) -> None:
    bundles, feeds = [], {}
    for name, sizes in NETWORKS.items():
        bundle = osp.cut(
            build(name, **sizes),
            tmp_path / f"{name}.split",
            threads=1,
            measure=0,
            verify=False,
            min_share=0.0,
        )
        (spec,) = bundle.manifest.model["inputs"]
        values = np.random.default_rng(0).standard_normal(
            bundle.manifest.model["sizes"][spec["name"]]
        )
        feeds[name] = tmp_path / f"{name}.npz"
        np.savez(feeds[name], **{spec["name"]: values.astype(np.float32)})
        bundles.append(bundle)
    errors = {}
    with serve_beyond(link, *(bundle.folder for bundle in bundles)) as url:
        for rate, trip in ((10, 0.03), (5.85, 0.05), (2, 0.1)):
            link.set(up=rate * MBIT, round_trip_seconds=trip)
            found = call(link, "probe", url, "--budget", "1s")
            for bundle in bundles:
                name = bundle.folder.stem
                words = ["--server", url, "--inputs", str(feeds[name]), "--repeat", "9"]
                report = call(link, "run", str(bundle.folder), *words, "--threads", "1")
                errors[name, rate] = find_error(bundle, report, found)
    assert len(errors) == 9
    assert max(map(abs, errors.values())) < 0.05, errors
