"""Runs of the device's stage alone, and whether their inputs are the model's."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError, suggest
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.messages import Parameter
from onnxsplit.runtime.split_cuts import SplitCut


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """What the device made of the inputs, before anything travels.

    Parameters
    ----------
    index : int
    cut : SplitCut
    values : mapping of str to array
        Inputs and what the device's stage made of them.
    parameters : mapping
        Of the sequence, if there is one.
    start_seconds : float
        When the run began.
    device_seconds : float
    deadline : Deadline
    inputs : mapping of str to array
    """

    index: int
    cut: SplitCut
    values: Mapping[str, Array]
    parameters: Mapping[str, Parameter]
    start_seconds: float
    device_seconds: float
    deadline: Deadline
    inputs: Mapping[str, Array]


def check_names(cut: SplitCut, inputs: Mapping[str, Array]) -> None:
    """Refuse inputs that the model does not have, and name those that it lacks."""
    local = () if cut.local is None else cut.local.metadata.inputs
    known = {spec["name"] for spec in cut.manifest.model["inputs"]}
    for name in inputs:
        if name not in known:
            raise UsageError(f"The model has no input {name!r}. {suggest(name, known)}")
    made = set() if cut.local is None else {s.name for s in cut.local.metadata.outputs}
    needed = [*(spec.name for spec in local), *(cut.remote.inputs if cut.remote else ())]
    for name in needed:
        if name not in inputs and name not in made:
            raise UsageError(f"The model needs the input {name!r}; give a value for it.")
