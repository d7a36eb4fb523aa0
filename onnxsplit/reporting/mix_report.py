"""What a plan costs at each shape of a mix."""

from collections.abc import Sequence

from onnxsplit.prediction import MixShare
from onnxsplit.reporting.page import Block, Column, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_duration, word_share


def mix_blocks(mix: Sequence[MixShare], total_seconds: float) -> tuple[Block, ...]:
    """Lay out the shapes of a mix; nothing for a plan of one shape."""
    if not mix:
        return ()
    counts = " and ".join(f"{share.weight:g} at {share.label}" for share in mix)
    said = (
        f"All predicted times are sums over a mix of runs: {counts}. Tensors that travel are shown"
        f" at {mix[0].label}."
    )
    return (Sentence(text=said), _mix_table(mix, total_seconds))


def _mix_table(mix: Sequence[MixShare], total_seconds: float) -> Table:
    """List what one run takes and sends at each shape, and its part of the sum."""
    return Table(
        title="One run at each shape",
        columns=(
            Column(title="shape"),
            Column(title="weight", alignment="right"),
            Column(title="latency", alignment="right"),
            Column(title="sends", alignment="right"),
            Column(title="gets back", alignment="right"),
            Column(title="share of the sum", alignment="right"),
        ),
        rows=tuple(
            (
                share.label,
                f"{share.weight:g}",
                word_duration(share.prediction.total_seconds),
                word_bytes(share.crossing_bytes),
                word_bytes(share.download_bytes),
                word_share(share.weight * share.prediction.total_seconds, total_seconds),
            )
            for share in mix
        ),
        total=("total", "", word_duration(total_seconds), "", "", ""),
    )
