"""Sentences about plans: why not splitting wins, what a cut moves, what an override costs."""

import csv
import io
import shlex
from collections.abc import Mapping, Sequence

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.separators import name_cut
from onnxsplit.prediction import WORK_KINDS, Prediction
from onnxsplit.tiers import Topology
from onnxsplit.units import format_duration

_SMALLEST_SHOWN = 0.001
_LEAST_WRITTEN = 0.0005
_FLOAT_NOISE = 1e-9
_MOST_NAMED = 3


def explain_fewer_tiers(split: PricedPlacement, optimum: PricedPlacement) -> str:
    """Say by how much, and why, using fewer tiers is faster.

    Parameters
    ----------
    split : PricedPlacement
        The best proper split.
    optimum : PricedPlacement
        It leaves at least one tier empty.
    """
    if optimum.placement.verdict != "split":
        return explain_whole(split, optimum)
    used = [tier for tier in optimum.placement.tiers if optimum.placement.operators(tier)]
    return (
        f"Using {' and '.join(used)} alone takes {format_duration(optimum.total_seconds)},"
        f" {format_duration(split.total_seconds - optimum.total_seconds)} less than this split."
    )


def explain_whole(split: PricedPlacement, whole: PricedPlacement) -> str:
    """Say by how much, and why, not splitting is faster.

    Parameters
    ----------
    split : PricedPlacement
        The best proper split.
    whole : PricedPlacement
        The optimum, on one tier.
    """
    lost = split.total_seconds - whole.total_seconds
    if lost <= _SMALLEST_SHOWN * whole.total_seconds:
        gain = "is no slower than"
    else:
        gain = (
            f"is faster by {format_duration(lost)}"
            f" ({format_share(lost / split.total_seconds)}) than"
        )
    (tier,) = set(whole.placement.tier_of.values())
    device = whole.placement.tiers[0]
    head = (
        f"Not splitting {gain} this split: everything on the {tier} takes"
        f" {format_duration(whole.total_seconds)}"
    )
    split_link, split_work = _divide(split.prediction)
    whole_link, whole_work = _divide(whole.prediction)
    if tier == device:
        tiers, saved = whole.placement.tiers, whole_work - split_work
        is_pair = len(tiers) == 2  # noqa: PLR2004 - two ends
        others = f"the {tiers[-1]}" if is_pair else "the others"
        verb = ("saves" if saved >= 0 else "adds") if is_pair else ("save" if saved >= 0 else "add")
        reason = (
            f"{others} {verb} {format_duration(abs(saved))} of computing, and the link costs"
            f" {format_duration(split_link)}"
        )
    else:
        link = _word_change(split_link - whole_link)
        reason = f"the link takes {link}, and computing {_word_change(split_work - whole_work)}"
    return f"{head}, because {reason}."


def explain_split(split: PricedPlacement, wholes: Mapping[str, PricedPlacement]) -> str:
    """Say why splitting wins: what it saves against either whole, and what it costs.

    Parameters
    ----------
    split : PricedPlacement
        The optimum, a proper split.
    wholes : mapping of str to PricedPlacement
        Running everything on one tier, where that is possible.
    """
    device, server = split.placement.tiers[0], split.placement.tiers[-1]
    split_link, split_work = _divide(split.prediction)
    reasons = []
    if device in wholes:
        _, work = _divide(wholes[device].prediction)
        reasons.append(
            f"computing takes {format_duration(split_work)} instead of {format_duration(work)} on"
            f" the {device} alone"
        )
    if server in wholes:
        link, _ = _divide(wholes[server].prediction)
        reasons.append(
            f"the link takes {format_duration(split_link)} instead of {format_duration(link)} for"
            " the whole input"
        )
    if not reasons:
        return "Neither tier can run everything, so the model has to be split."
    return f"The cut lies here because {', and '.join(reasons)}."


def explain_small_share(server_share: float, least_share: float, server: str) -> str:
    """Say that a split moves little."""
    where = f"to the {server}" if server_share < least_share else f"off the {server}"
    moved = server_share if server_share < least_share else 1 - server_share
    only = "" if moved < _LEAST_WRITTEN else "only "
    return f"This split moves {only}{format_share(moved)} of the work {where}."


def explain_idle_tiers(shares: Mapping[str, float], least_share: float) -> tuple[str, ...]:
    """Say which tiers of a longer chain run little; nothing if all run enough.

    Parameters
    ----------
    shares : mapping of str to float
        Tier to its share of the work.
    least_share : float
    """
    return tuple(
        f"The {tier} runs only {format_share(share)} of the work; --pin {tier}=GLOB gives it more."
        for tier, share in shares.items()
        if share < least_share
    )


def explain_next_cut(
    graph: OperatorGraph, balanced: PricedPlacement | None, least_share: float
) -> str:
    """Name the next cut where both tiers hold enough of the work.

    Parameters
    ----------
    graph : OperatorGraph
    balanced : PricedPlacement or None
        That cut, if one was found.
    least_share : float
    """
    if balanced is None:
        return f"No cut was found where both sides hold at least {format_share(least_share)}."
    crossings = _enumerate([crossing.tensor for crossing in balanced.crossings])
    tensors = name_cut(graph, balanced.placement)
    advice = f"; {_write_flag(tensors)} takes it" if len(tensors) <= _MOST_NAMED else ""
    return (
        f"The best cut found where both sides hold at least {format_share(least_share)} crosses at"
        f" {crossings} and takes {format_duration(balanced.total_seconds)}{advice}."
    )


def explain_longer_period(given: PricedPlacement, optimum: PricedPlacement) -> str:
    """Say what a placement's period is against the least.

    Parameters
    ----------
    given, optimum : PricedPlacement
        Priced for throughput.
    """
    least = f"{optimum.placement.verdict} with a result every {format_duration(optimum.value)}"
    lost = given.value - optimum.value
    if lost <= _FLOAT_NOISE * optimum.value:
        return f"This placement's period is as short as the optimum's: {least}."
    return (
        f"A result every {format_duration(given.value)} is {format_duration(lost)} more than the"
        f" optimum: {least}."
    )


def explain_override(given: PricedPlacement, optimum: PricedPlacement) -> str:
    """Say what a given placement costs against the optimum."""
    lost = given.total_seconds - optimum.total_seconds
    if lost <= _FLOAT_NOISE * optimum.total_seconds:
        return "This placement is as good as the optimum."
    percent = ""
    if optimum.total_seconds:
        slower = lost / optimum.total_seconds
        percent = f" ({format_share(slower)})"
    return (
        f"This placement takes {format_duration(lost)}{percent} longer than the optimum,"
        f" which is {optimum.placement.verdict} in {format_duration(optimum.total_seconds)}."
    )


def name_link_assumptions(topology: Topology) -> tuple[str, ...]:
    """Say which links nobody measured."""
    return tuple(
        f"The link {source}->{target} was not measured:"
        f" {f'{link.label} is taken at its nominal' if link.label else 'it is taken at'}"
        f" {link.describe()}."
        for source, target, link in topology.hops
        if link.evidence == "assumed"
    )


def format_share(share: float) -> str:
    """Write a share in percent, with a decimal where it is small."""
    if 0 < share < _LEAST_WRITTEN:
        return "under 0.1 %"
    percent = 100 * share
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"  # noqa: PLR2004 - two digits


def _word_change(seconds: float) -> str:
    """Say how much more or less time something takes when split."""
    if abs(seconds) < _FLOAT_NOISE:
        return "as long"
    return f"{format_duration(abs(seconds))} {'longer' if seconds > 0 else 'less'}"


def _divide(prediction: Prediction) -> tuple[float, float]:
    """Return the seconds spent on the link and on computing."""
    work = sum(part.seconds for part in prediction.parts if part.kind in WORK_KINDS)
    return prediction.total_seconds - work, work


def _write_flag(tensors: Sequence[str]) -> str:
    """Write the flag that cuts at these tensors as a shell takes it; quotes protect commas."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(tensors)
    return f"--cut-at {shlex.quote(line.getvalue())}"


def _enumerate(names: Sequence[str]) -> str:
    """Name a few and count the rest."""
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
