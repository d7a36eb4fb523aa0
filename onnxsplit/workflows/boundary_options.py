"""What a caller may say of how tensors travel."""

import math
from collections.abc import Mapping
from dataclasses import replace

from onnxsplit.errors import UsageError, suggest
from onnxsplit.model.wires import WIRE_TYPES
from onnxsplit.planning.costs.question import Question, WireFormat
from onnxsplit.units import format_size, parse_size

AUTO = "auto"
DEFAULT_MAX_DRIFT = 1e-2
AS_SENT = "as sent"


def check_boundary(boundary: str | None, max_drift: float) -> None:
    """Refuse a boundary that nobody knows, and a drift that is no share.

    Raises
    ------
    UsageError
    """
    known = (AUTO, *WIRE_TYPES)
    if boundary is not None and boundary not in known:
        raise UsageError(f"--boundary {boundary!r} is unknown; give one of {', '.join(known)}.")
    if not (math.isfinite(max_drift) and max_drift >= 0):
        raise UsageError(
            f"--max-drift {max_drift} is no share of the largest value; write 0.01 for a hundredth."
        )


def take_sent_sizes(question: Question, sizes: Mapping[str, str | int]) -> Question:
    """Let model inputs travel at the size at which users send them, such as that of a JPEG.

    Parameters
    ----------
    question : Question
    sizes : mapping of str to str or int
        Model input to a size with its unit, or bytes.

    Raises
    ------
    UsageError
        There is no such input, or a size can't be read.
    """
    inputs = question.graph.inputs
    for name in sizes:
        if name not in inputs:
            raise UsageError(
                f"--input-bytes {name}: the model has no such input. {suggest(name, inputs)}"
            )
    wires = {
        name: WireFormat(
            name=AS_SENT, size_bytes=parse_size(size) if isinstance(size, str) else size
        )
        for name, size in sizes.items()
    }
    assumptions = tuple(
        f"The input {name!r} is sent as {format_size(wire.size_bytes)}, as --input-bytes says;"
        " taking that apart costs nothing on either side, and the stages take the plain tensor."
        for name, wire in wires.items()
    )
    return replace(
        question,
        wires={**question.wires, **wires},
        assumptions=(*question.assumptions, *assumptions),
    )
