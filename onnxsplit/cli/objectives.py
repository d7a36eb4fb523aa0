"""What was typed about the objective, as a value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxsplit.cli.formats import LabelPlace, ObjectiveName
from onnxsplit.errors import UsageError

if TYPE_CHECKING:
    from onnxsplit.objectives import Objective


def read_objective(
    name: ObjectiveName,
    *,
    iterations: int | None = None,
    labels: LabelPlace | None = None,
    label_bytes: str | None = None,
    freeze: Sequence[str] | None = None,
) -> "Objective":
    """Return the objective of that name, with what was said of it.

    Raises
    ------
    UsageError
        An option goes with another objective, or can't be read.
    """
    from onnxsplit import objectives  # noqa: PLC0415 - help must not load it
    from onnxsplit.units import parse_size  # noqa: PLC0415 - likewise

    given = {
        "--iterations": iterations,
        "--labels": labels,
        "--label-bytes": label_bytes,
        "--freeze": freeze or None,
    }
    if name is ObjectiveName.TRAINING:
        return objectives.TrainingDelay(
            iterations=1 if iterations is None else iterations,
            labels_at="device" if labels is LabelPlace.DEVICE else "server",
            label_bytes=None if label_bytes is None else parse_size(label_bytes),
            frozen=tuple(freeze or ()),
        )
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"{flag} goes with --objective training; the objective is {name}.")
    return objectives.InferenceLatency()
