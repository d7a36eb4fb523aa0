"""What travels between tiers: its tensors, their types and bytes, and how narrower they drift."""

from onnxsplit.placement import Crossing
from onnxsplit.planned import Plan
from onnxsplit.reporting.page import Block, Bullets, Column, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_count, word_name, word_shape


def crossings_table(crossings: tuple[Crossing, ...]) -> Table:
    """List the tensors that travel."""
    return Table(
        title="Tensors that travel",
        columns=(
            Column(title="tensor", is_name=True),
            Column(title="way"),
            Column(title="dtype"),
            Column(title="shape"),
            Column(title="bytes", alignment="right"),
        ),
        rows=tuple(
            (
                crossing.tensor,
                f"{crossing.source} -> {crossing.target}",
                _word_wire(crossing),
                word_shape(crossing.shape),
                word_bytes(crossing.size_bytes),
            )
            for crossing in crossings
        ),
    )


def _word_wire(crossing: Crossing) -> str:
    """Name a crossing's element type, and how it travels where that differs."""
    return crossing.dtype if crossing.wire is None else f"{crossing.dtype} ({crossing.wire})"


def boundary_blocks(plan: Plan) -> tuple[Block, ...]:
    """Say what narrower crossings do to the outputs, and what was forbidden for it."""
    boundary = plan.boundary
    if boundary is None:
        return ()
    rounds = word_count(boundary.rounds, "round")
    if not boundary.wires:
        text = f"No crossing travels narrower (boundary {boundary.asked}, {rounds})."
    else:
        text = (
            f"Narrower crossings let outputs drift by {boundary.drift:.2g} of their largest value;"
            f" {boundary.max_drift:g} is allowed (boundary {boundary.asked}, {rounds})."
        )
    forbidden = tuple(
        f"{pair.tensor} as {pair.wire} drifts by {pair.drift:.2g}" for pair in boundary.forbidden
    )
    bullets = (Bullets(title="Forbidden at the boundary", items=forbidden),) if forbidden else ()
    return (Sentence(text=text), *bullets)


def word_sent(crossings: tuple[Crossing, ...]) -> tuple[str, str]:
    """Say which tensors cross and how many bytes they are."""
    if not crossings:
        return ("", "")
    first, *others = [crossing.tensor for crossing in crossings]
    shown = word_name(first)
    names = f"{shown} and {len(others)} more" if others else shown
    return (names, word_bytes(sum(crossing.size_bytes for crossing in crossings)))
