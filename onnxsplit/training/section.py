"""What a bundle's manifest says of training, under its key ``training``."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from onnxsplit.engines.port import EngineOptions
from onnxsplit.engines.stateful import OrtState
from onnxsplit.errors import BundleError
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.objectives import Side
from onnxsplit.stage_entries import spec_from_json, spec_to_json
from onnxsplit.training.data import DataPorts
from onnxsplit.training.device import DeviceHalf
from onnxsplit.training.half import Half
from onnxsplit.training.server import ServerHalf
from onnxsplit.training.stages import LOSS, StageFile
from onnxsplit.training.storage import load_state


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """A bundle's training stages and what they need.

    Parameters
    ----------
    recipe : mapping
        Loss, optimizer and policies, as they were asked for.
    tiers : tuple of str
        The device's and the server's name.
    labels_at : str
        ``device`` or ``server``.
    inputs : tuple of TensorSpec
        Model inputs that the stages take.
    label : TensorSpec
    predictions : str
        The value that accuracy is told of.
    class_axis : int or None
        Of the predictions; None where labels are no classes.
    classes : int or None
        How many there are, where that is known.
    stages, evaluation : tuple of StageFile
    states : mapping of str to str
        Tier to the file of its state before the first step.
    variables : tuple of mapping
        Parameters and statistics, with the operators that read them.
    files : mapping of str to str
        Every file of the above to its sha256.
    saved_bytes : int or None
        What waits on the device between forward and backward, as met when the stages were checked.
    evidence : mapping or None
        Of the split's equality with an unsplit step; None if it was not checked.
    notes : tuple of str
    """

    recipe: Mapping[str, Any]
    tiers: tuple[str, str]
    labels_at: Side
    inputs: tuple[TensorSpec, ...]
    label: TensorSpec
    predictions: str
    class_axis: int | None
    classes: int | None
    stages: tuple[StageFile, ...]
    evaluation: tuple[StageFile, ...]
    states: Mapping[str, str]
    variables: tuple[Mapping[str, Any], ...]
    files: Mapping[str, str]
    saved_bytes: int | None = None
    evidence: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def ports(self) -> DataPorts:
        """What data must have."""
        return DataPorts(
            inputs=self.inputs,
            label=self.label,
            has_classes=self.class_axis is not None,
            classes=self.classes,
        )

    @property
    def fingerprint(self) -> str:
        """A hash over all training files: who has the same trains the same."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the section as a manifest holds it."""
        return {
            **self.recipe,
            "tiers": list(self.tiers),
            "labels_at": self.labels_at,
            "inputs": [spec_to_json(spec) for spec in self.inputs],
            "label": spec_to_json(self.label),
            "predictions": self.predictions,
            "class_axis": self.class_axis,
            "classes": self.classes,
            "stages": [stage.to_json() for stage in self.stages],
            "evaluation": [stage.to_json() for stage in self.evaluation],
            "states": dict(self.states),
            "variables": [dict(variable) for variable in self.variables],
            "files": dict(self.files),
            "saved_bytes": self.saved_bytes,
            "evidence": None if self.evidence is None else dict(self.evidence),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the section.

        Raises
        ------
        BundleError
            It is malformed.
        """
        recipe = ("loss", "optimizer", "norms", "tied", "frozen", "recompute")
        try:
            device, server = document["tiers"]
            return cls(
                recipe={key: document[key] for key in recipe},
                tiers=(device, server),
                labels_at=document["labels_at"],
                inputs=tuple(spec_from_json(entry) for entry in document["inputs"]),
                label=spec_from_json(document["label"]),
                predictions=document["predictions"],
                class_axis=document["class_axis"],
                classes=document["classes"],
                stages=tuple(StageFile.from_json(entry) for entry in document["stages"]),
                evaluation=tuple(StageFile.from_json(entry) for entry in document["evaluation"]),
                states=dict(document["states"]),
                variables=tuple(dict(entry) for entry in document["variables"]),
                files=dict(document["files"]),
                saved_bytes=document["saved_bytes"],
                evidence=document["evidence"],
                notes=tuple(document["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"The manifest's training section is malformed: {error}.") from error

    def list_files(self, tier: str) -> tuple[str, ...]:
        """Return the training files that one tier needs."""
        stages = (*self.stages, *self.evaluation)
        return (*(stage.file for stage in stages if stage.tier == tier), self.states[tier])

    def open_device(self, folder: Path, options: EngineOptions) -> DeviceHalf:
        """Open the device's half with its first state.

        Raises
        ------
        BundleError
            A file is missing or malformed.
        ModelError
            A stage can't be loaded.
        """
        training, evaluation = self._open(folder, self.tiers[0], options)
        return DeviceHalf(
            training,
            evaluation,
            stages=self.stages,
            evaluation_stages=self.evaluation,
            labels_at_server=self.labels_at == "server",
            predictions=self.predictions,
            class_axis=self.class_axis,
        )

    def open_server(self, folder: Path, options: EngineOptions) -> ServerHalf:
        """Open the server's half with its first state; raises as `open_device` does."""
        training, evaluation = self._open(folder, self.tiers[1], options)
        return ServerHalf(
            training, evaluation, predictions=self.predictions, class_axis=self.class_axis
        )

    def _open(self, folder: Path, tier: str, options: EngineOptions) -> tuple[Half, Half]:
        """Open the stages of one tier."""
        state = OrtState(load_state(folder / self.states[tier]), options)
        results = (LOSS, self.predictions)
        return (
            Half(self.stages, tier, folder, state, options, results=results),
            Half(self.evaluation, tier, folder, state, options, results=results),
        )


def read_section(folder: Path, manifest: Manifest) -> TrainingSection:
    """Return a bundle's training section.

    Raises
    ------
    BundleError
        It has none, or it is malformed.
    """
    if manifest.training is None:
        raise BundleError(
            f"{folder} has no training stages; cut the model with --objective training and --loss."
        )
    return TrainingSection.from_json(manifest.training)
