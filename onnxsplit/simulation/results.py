"""What a simulation found: delays of every policy, how sure they are, and what they are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxsplit.graph import ModelIdentity
from onnxsplit.placement import Placement
from onnxsplit.prediction import WORK_KINDS
from onnxsplit.simulation.encounters import Encounters
from onnxsplit.simulation.statistics import Estimate, estimate

SIMULATION_SCHEMA = "onnxsplit.simulation/1"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

OURS = ("ours", "ours-edge")
"""Between a device and the server, and over an edge tier as well."""

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedCut:
    """A placement that a policy chose at some time.

    Parameters
    ----------
    kind : str
        The kind of device.
    placement : Placement
    crossings : tuple of str
        Tensors that cross.
    uses : int
    """

    kind: str
    placement: Placement
    crossings: tuple[str, ...]
    uses: int

    @property
    def on_device(self) -> int:
        """How many operators run on the device."""
        return len(self.placement.operators(self.placement.tiers[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one policy did.

    Parameters
    ----------
    name : str
    seconds : ndarray of float64, shape (seeds, epochs, served)
        What each device that was served took.
    cuts : tuple of UsedCut
    chosen : ndarray of int64, shape (seeds, epochs, served)
        The cut that it chose, by its place in ``cuts``.
    parts : mapping of (str, str) to float
        Kind, and tier or link, to the seconds of all together.
    prepare_seconds, decide_seconds : float
        What making it ready, and all its decisions together, took here. What several policies
        share counts for the first of them.
    """

    name: str
    seconds: Floats
    cuts: tuple[UsedCut, ...]
    chosen: Integers
    parts: Mapping[tuple[str, str], float]
    prepare_seconds: float = field(default=0.0, compare=False)
    decide_seconds: float = field(default=0.0, compare=False)

    @property
    def depths(self) -> Floats:
        """Share of the operators that run on the device, shape (seeds, epochs, served)."""
        sizes = [cut.on_device / len(cut.placement.tier_of) for cut in self.cuts]
        return np.array(sizes)[self.chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """What a scenario's policies did under the same links.

    Parameters
    ----------
    scenario : str
    model : ModelIdentity
    objective : str
    tiers : tuple of str
    schedule : str
    seeds : tuple of int
    network : mapping
        What the links are made of, as files hold it.
    device_names : tuple of str
        The kind of each device.
    encounters : Encounters
    outcomes : tuple of Outcome
        Ours first.
    assumptions, notes : tuple of str
    """

    scenario: str
    model: ModelIdentity
    objective: str
    tiers: tuple[str, ...]
    schedule: str
    seeds: tuple[int, ...]
    network: Mapping[str, Any]
    device_names: tuple[str, ...]
    encounters: Encounters
    outcomes: tuple[Outcome, ...]
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> Outcome:
        """Return the outcome of a policy.

        Raises
        ------
        KeyError
            It was not simulated.
        """
        for outcome in self.outcomes:
            if outcome.name == name:
                return outcome
        raise KeyError(name)

    @property
    def lead(self) -> Outcome:
        """Ours: over all tiers where there are more than two."""
        return next((o for o in self.outcomes if o.name == "ours-edge"), self.outcomes[0])

    @property
    def decisions(self) -> int:
        """How often each policy had to decide."""
        return int(self.encounters.devices.size)

    def time_epochs(self, outcome: Outcome) -> Floats:
        """Return what each epoch took under a policy, shape (seeds, epochs)."""
        seconds = outcome.seconds
        epochs = seconds.max(axis=2) if self.schedule == "at-once" else seconds.sum(axis=2)
        return np.asarray(epochs, dtype=np.float64)

    def time_all(self, outcome: Outcome) -> Floats:
        """Return what all epochs took under a policy, shape (seeds,)."""
        return np.asarray(self.time_epochs(outcome).sum(axis=1), dtype=np.float64)

    def reduce(self, outcome: Outcome, baseline: Outcome) -> Estimate:
        """Return by what share a policy's delay is below a baseline's, seed by seed."""
        return estimate(1 - self.time_all(outcome) / self.time_all(baseline))

    @property
    def reductions(self) -> tuple[tuple[str, str, Estimate], ...]:
        """Each policy of ours, each baseline, and by what share it is below that."""
        ours = [outcome for outcome in self.outcomes if outcome.name in OURS]
        return tuple(
            (outcome.name, other.name, self.reduce(outcome, other))
            for outcome in ours
            for other in self.outcomes
            if other.name not in OURS or other.name == OURS[0] != outcome.name
        )

    def to_json(self, *, timings: bool = False) -> dict[str, Any]:
        """Return the result as its file holds it (``onnxsplit.simulation/1``).

        Parameters
        ----------
        timings : bool
            Tell what deciding took here; without it the same seeds give the same file.
        """
        document: dict[str, Any] = {
            "schema": SIMULATION_SCHEMA,
            "scenario": self.scenario,
            "model": {"sha256": self.model.sha256, "structure": self.model.structure},
            "objective": self.objective,
            "tiers": list(self.tiers),
            "schedule": self.schedule,
            "seeds": list(self.seeds),
            "epochs": int(self.encounters.devices.shape[1]),
            "served_per_epoch": int(self.encounters.devices.shape[2]),
            "network": {**self.network, **self._describe_rates()},
            "policies": [self._describe(outcome) for outcome in self.outcomes],
            "reductions": [
                {"policy": ours, "against": other, **share.to_json()}
                for ours, other, share in self.reductions
            ],
            "assumptions": list(self.assumptions),
            "notes": list(self.notes),
        }
        if timings:
            document["timings"] = [
                {
                    "policy": outcome.name,
                    "prepare_seconds": outcome.prepare_seconds,
                    "decision_seconds": outcome.decide_seconds / self.decisions,
                }
                for outcome in self.outcomes
            ]
        return document

    def _describe_rates(self) -> dict[str, Any]:
        """Describe the links that were met."""
        met = self.encounters
        return {
            **{
                name: dict(
                    zip(("p5", "median", "p95"), np.quantile(rates, _QUANTILES), strict=True)
                )
                for name, rates in (
                    ("up_bytes_per_second", met.up_bytes_per_second),
                    ("down_bytes_per_second", met.down_bytes_per_second),
                )
            },
            "at_floor_share": float(met.at_floor.mean()),
        }

    def _describe(self, outcome: Outcome) -> dict[str, Any]:
        """Describe a policy."""
        total = sum(outcome.parts.values()) or 1.0
        epochs = self.time_epochs(outcome)
        return {
            "name": outcome.name,
            "total_seconds": estimate(self.time_all(outcome)).to_json(),
            "epoch_seconds": estimate(epochs.mean(axis=1)).to_json(),
            "parts": [
                {
                    "kind": kind,
                    "tier" if kind in WORK_KINDS else "link": where,
                    "share": seconds / total,
                }
                for (kind, where), seconds in sorted(outcome.parts.items())
            ],
            "cuts": [
                {
                    "device": cut.kind,
                    "verdict": cut.placement.verdict,
                    "crossings": list(cut.crossings),
                    "operators_on_device": cut.on_device,
                    "share": cut.uses / self.decisions,
                }
                for cut in sorted(outcome.cuts, key=lambda cut: -cut.uses)
            ],
            "by_epoch": {
                "seconds": epochs.mean(axis=0).tolist(),
                "device_share": outcome.depths.mean(axis=(0, 2)).tolist(),
            },
        }
