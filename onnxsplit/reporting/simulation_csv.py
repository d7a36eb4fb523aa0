"""Every decision of a simulation as a row of a CSV."""

import csv
import io

import numpy as np

from onnxsplit.simulation.results import SimulationResult

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


def write_rows(result: SimulationResult) -> str:
    """Write a result's decisions, policy by policy.

    Parameters
    ----------
    result : SimulationResult

    Returns
    -------
    str
        Epochs and devices are counted from 0; crossings are separated by spaces.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    met = result.encounters
    for outcome in result.outcomes:
        for seed, epoch, served in np.ndindex(*met.devices.shape):
            place = (seed, epoch, served)
            device = int(met.devices[place])
            cut = outcome.cuts[outcome.chosen[place]]
            writer.writerow(
                (
                    result.seeds[seed],
                    epoch,
                    device,
                    result.device_names[device],
                    outcome.name,
                    f"{met.up_bytes_per_second[place]:.6g}",
                    f"{met.down_bytes_per_second[place]:.6g}",
                    f"{outcome.seconds[place]:.9g}",
                    cut.placement.verdict,
                    cut.on_device,
                    " ".join(cut.crossings),
                )
            )
    return text.getvalue()
