"""Every decision of a simulation as a row of a CSV."""

import csv
import io
from collections.abc import Iterator

import numpy as np

from onnxsplit.simulation.results import Outcome, SimulationResult

COLUMNS = (
    "seed",
    "epoch",
    "device",
    "kind",
    "policy",
    "up_bytes_per_second",
    "down_bytes_per_second",
    "seconds",
    "verdict",
    "operators_on_device",
    "crossings",
)


def write_rows(result: SimulationResult) -> Iterator[bytes]:
    """Write a result's decisions, policy by policy and epoch by epoch.

    Parameters
    ----------
    result : SimulationResult

    Yields
    ------
    bytes
        Parts of the file. Epochs and devices are counted from 0; crossings are separated by spaces.
    """
    yield (",".join(COLUMNS) + "\n").encode()
    seeds, epochs, _ = result.encounters.devices.shape
    for outcome in result.outcomes:
        for seed, epoch in np.ndindex(seeds, epochs):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows(_list_rows(result, outcome, seed, epoch))
            yield text.getvalue().encode()


def _list_rows(
    result: SimulationResult, outcome: Outcome, seed: int, epoch: int
) -> Iterator[tuple[object, ...]]:
    """Yield the decisions of one epoch."""
    met, here = result.encounters, (seed, epoch)
    for device, up, down, seconds, number in zip(
        met.devices[here].tolist(),
        met.up_bytes_per_second[here].tolist(),
        met.down_bytes_per_second[here].tolist(),
        outcome.seconds[here].tolist(),
        outcome.chosen[here].tolist(),
        strict=True,
    ):
        cut = outcome.cuts[number]
        yield (
            result.seeds[seed],
            epoch,
            device,
            result.device_names[device],
            outcome.name,
            f"{up:.6g}",
            f"{down:.6g}",
            f"{seconds:.9g}",
            cut.placement.verdict,
            cut.on_device,
            " ".join(cut.crossings),
        )
