"""What was typed about training, as a value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxsplit.cli.formats import LabelPlace, ObjectiveName
from onnxsplit.errors import UsageError

if TYPE_CHECKING:
    from onnxsplit.objectives import TrainingDelay


def read_training(
    name: ObjectiveName,
    *,
    iterations: int | None,
    labels: LabelPlace | None,
    label_bytes: str | None,
    freeze: Sequence[str] | None,
) -> "TrainingDelay | None":
    """Return the objective of training with what was said of it; None for any other objective.

    Raises
    ------
    UsageError
        An option goes with training but another objective was asked for, or it can't be read.
    """
    from onnxsplit.objectives import TrainingDelay  # noqa: PLC0415 - help must not load it
    from onnxsplit.units import parse_size  # noqa: PLC0415 - likewise

    if name is ObjectiveName.TRAINING:
        return TrainingDelay(
            iterations=1 if iterations is None else iterations,
            labels_at="device" if labels is LabelPlace.DEVICE else "server",
            label_bytes=None if label_bytes is None else parse_size(label_bytes),
            frozen=tuple(freeze or ()),
        )
    given = {
        "--iterations": iterations,
        "--labels": labels,
        "--label-bytes": label_bytes,
        "--freeze": freeze or None,
    }
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"{flag} goes with --objective training; the objective is {name}.")
    return None
