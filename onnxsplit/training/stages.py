"""The training stages of a bundle, and which values go from one to the next, and to which tier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from onnxsplit.errors import BundleError
from onnxsplit.graph import TensorSpec
from onnxsplit.stage_entries import spec_from_json, spec_to_json

LOSS = "loss"
GIVEN = frozenset({"label", "learning_rate", "step"})
"""Inputs that are told with every step, beside state and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFile:
    """One training stage.

    Parameters
    ----------
    name : str
    tier : str
    file : str
    inputs, outputs : tuple of TensorSpec
        Beside the state.
    reads : tuple of str
        State that it reads.
    updates : mapping of str to str
        Output to the state that it is the next value of.
    """

    name: str
    tier: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reads: tuple[str, ...]
    updates: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the stage as a manifest holds it."""
        return {
            "name": self.name,
            "tier": self.tier,
            "file": self.file,
            "inputs": [spec_to_json(spec) for spec in self.inputs],
            "outputs": [spec_to_json(spec) for spec in self.outputs],
            "reads": list(self.reads),
            "updates": dict(self.updates),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Read a stage; raises BundleError if it is malformed."""
        try:
            return cls(
                name=entry["name"],
                tier=entry["tier"],
                file=entry["file"],
                inputs=tuple(spec_from_json(spec) for spec in entry["inputs"]),
                outputs=tuple(spec_from_json(spec) for spec in entry["outputs"]),
                reads=tuple(entry["reads"]),
                updates=dict(entry["updates"]),
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"A training stage in the manifest is malformed: {error}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Where the values of a step go.

    Parameters
    ----------
    kept : mapping of str to frozenset of str
        Stage to its outputs that a later stage of its own tier reads.
    sent : mapping of str to tuple of str
        Stage to the values that go to the other tier when it has run: its outputs, and, of a
        tier's first stage, model inputs.
    taken : mapping of str to tuple of str
        Stage to what it reads that comes from the other tier.
    """

    kept: Mapping[str, frozenset[str]]
    sent: Mapping[str, tuple[str, ...]]
    taken: Mapping[str, tuple[str, ...]]


def find_routes(stages: tuple[StageFile, ...]) -> Routes:
    """Find where the values of a step go; model inputs live on the first tier.

    Parameters
    ----------
    stages : tuple of StageFile
        In the order in which they run.
    """
    home: dict[str, str] = {}
    source: dict[str, str] = {}
    for stage in stages:
        for spec in stage.outputs:
            home[spec.name], source[spec.name] = stage.tier, stage.name
    device = next((s.tier for s in stages if s.name.startswith("device")), stages[0].tier)
    first = next((s.name for s in stages if s.tier == device), stages[0].name)
    kept: dict[str, set[str]] = {stage.name: set() for stage in stages}
    sent: dict[str, dict[str, None]] = {stage.name: {} for stage in stages}
    taken: dict[str, dict[str, None]] = {stage.name: {} for stage in stages}
    for stage in stages:
        for spec in stage.inputs:
            if spec.name in GIVEN:
                continue
            maker = source.get(spec.name, first)
            if home.get(spec.name, device) == stage.tier:
                kept[maker].add(spec.name)
            else:
                sent[maker][spec.name] = None
                taken[stage.name][spec.name] = None
    return Routes(
        kept={name: frozenset(values) for name, values in kept.items()},
        sent={name: tuple(values) for name, values in sent.items()},
        taken={name: tuple(values) for name, values in taken.items()},
    )
