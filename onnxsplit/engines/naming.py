"""Names that a caller gives to a session, held against those that the model has."""

from collections.abc import Collection, Iterable, Sequence

from onnxsplit.errors import UsageError
from onnxsplit.graph import TensorSpec


def check_names(
    feeds: Collection[str],
    wanted: Sequence[str],
    *,
    inputs: Sequence[TensorSpec],
    outputs: Collection[str],
    overridable: Collection[str] = (),
) -> None:
    """Refuse missing and unknown inputs and unknown outputs.

    Parameters
    ----------
    feeds : collection of str
        Names of what is fed.
    wanted : sequence of str
        Outputs that are asked for.
    inputs : sequence of TensorSpec
        Those that the model needs; optionals may be left out.
    outputs : collection of str
    overridable : collection of str
        Initializers that may be fed.

    Raises
    ------
    UsageError
        A name is missing or unknown.
    """
    specs = {spec.name: spec for spec in inputs}
    for name in feeds:
        if name not in specs and name not in overridable:
            raise UsageError(f"The model has no input {name!r}; it has {list_names(specs)}.")
    for name, spec in specs.items():
        if name not in feeds and spec.kind != "optional":
            raise UsageError(f"The model's input {name!r} is missing; give a value for it.")
    for name in wanted:
        if name not in outputs:
            raise UsageError(f"The model has no output {name!r}; it has {list_names(outputs)}.")


def list_names(names: Iterable[str]) -> str:
    """List names in a sentence."""
    return ", ".join(names) or "none"
