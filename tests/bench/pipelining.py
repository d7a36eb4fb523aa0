"""Runs in flight over an emulated link: what a result takes, and how often one comes.

Takes root, for the link. Server, client and link are processes of their own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import onnxsplit as osp
from tests.emulated_links import ROOT, EmulatedLink, explain_absence, serve_beyond

DEPTHS = (1, 2, 3)
CUT_AT = "fire2/squeeze/relu:0"
MBIT = 125_000.0


def main(argv: Sequence[str]) -> None:
    """Run with several depths, and print medians."""
    parser = argparse.ArgumentParser(prog="pipeline", description=__doc__)
    parser.add_argument("--frames", type=int, default=60, help="runs for each depth")
    parser.add_argument("--mbit", type=float, default=50.0, help="rate, both ways")
    parser.add_argument("--trip", type=float, default=0.02, help="round trip in seconds")
    options = parser.parse_args(argv)
    if absence := explain_absence():
        sys.exit(absence)
    with tempfile.TemporaryDirectory() as place, EmulatedLink() as link:
        folder = Path(place)
        model = ROOT / "samples" / "squeezenet.onnx"
        bundle = osp.cut(model, folder / "s.split", cut_at=[CUT_AT], measure=0, verify=False)
        image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
        np.savez(folder / "in.npz", image=image)
        link.set(up=options.mbit * MBIT, round_trip_seconds=options.trip)
        with serve_beyond(link, bundle.folder) as url:
            words = ["run", str(bundle.folder), "--server", url, "--repeat", str(options.frames)]
            words += ["--inputs", str(folder / "in.npz"), "--threads", "1", "--format", "json"]
            report = {str(depth): _run(link, words, depth) for depth in DEPTHS}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _run(link: EmulatedLink, words: Sequence[str], depth: int) -> dict[str, float]:
    """Run with so many in flight."""
    command = ["-m", "onnxsplit", *words, "--depth", str(depth)]
    process = link.start(link.device_space, command, stdout=subprocess.PIPE)
    said, _ = process.communicate()
    report: dict[str, Any] = json.loads(said)
    return {
        "latency_ms": 1e3 * report["latency"]["median_seconds"],
        "period_ms": 1e3 * report["period_seconds"],
    }
