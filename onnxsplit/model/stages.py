"""What carving gives: a runnable part of the model for each tier, and how they fit together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import CarvingReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The part of a model that one tier runs.

    Parameters
    ----------
    tier : str
    proto : onnx.ModelProto
        External data still refers to the source model's files.
    inputs : tuple of TensorSpec
        What must be fed: model inputs in the model's order, then crossings in graph order.
    outputs : tuple of TensorSpec
        Model outputs in the model's order, then crossings in graph order; each once.
    operators : tuple of str
        Live, non-constant operators, in graph order.
    weight_bytes : int
        Size of the stage's initializers.
    base_folder : Path or None
        Where external data lies; None if the model was given without a folder.
    """

    tier: str
    proto: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[str, ...]
    weight_bytes: int
    base_folder: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carving:
    """A model's stages along a chain of tiers.

    Parameters
    ----------
    stages : tuple of Stage
        In the order in which they run; a tier with nothing to do has none.
    yields : mapping of str to str
        Model output to the tier whose stage gives it.
    report : CarvingReport
        What carving changed, beyond distributing the operators.
    """

    stages: tuple[Stage, ...]
    yields: Mapping[str, str]
    report: CarvingReport
