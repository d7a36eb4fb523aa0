"""What a simulation's plots show, before anyone draws them."""

from dataclasses import dataclass

import numpy as np

from onnxsplit.simulation.results import OURS, Outcome, SimulationResult

COLOURS = (
    "#1b6ca8",
    "#c8553d",
    "#588157",
    "#7b4b94",
    "#b08900",
    "#3d5a6c",
    "#d97fa8",
    "#5f0f40",
    "#2a9d8f",
    "#8d99ae",
    "#a44a3f",
    "#0f4c5c",
)
"""One for each line or part, in order."""

_MOST_POINTS = 200
_SHOWN = (*OURS, "oss")
"""Whose cuts are drawn over time; those of others often lie on top of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve with how sure it is.

    Parameters
    ----------
    name : str
    x, y : tuple of float
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Curves over a common axis.

    Parameters
    ----------
    title, x_title, y_title : str
    lines : tuple of Line
    """

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of one or more parts, one on top of the other.

    Parameters
    ----------
    name : str
    parts : tuple of float
        One for each of the chart's parts.
    low, high : float or None
        The interval of the whole bar.
    """

    name: str
    parts: tuple[float, ...]
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Bars beside each other.

    Parameters
    ----------
    title, y_title : str
    parts : tuple of str
        What the parts of the bars are called; one alone needs no name.
    bars : tuple of Bar
    """

    title: str
    y_title: str
    parts: tuple[str, ...]
    bars: tuple[Bar, ...]


Chart = LineChart | BarChart


def chart_simulation(result: SimulationResult) -> tuple[Chart, ...]:
    """Return the plots of a simulation: delay over time, reductions, parts, and cuts over time.

    Parameters
    ----------
    result : SimulationResult
    """
    epochs = result.encounters.devices.shape[1]
    points = np.unique(np.linspace(0, epochs - 1, min(epochs, _MOST_POINTS)).astype(int))
    return (
        LineChart(
            title="Delay from the beginning, mean over seeds",
            x_title="epoch",
            y_title="s",
            lines=tuple(_accumulate(result, outcome, points) for outcome in result.outcomes),
        ),
        _chart_reductions(result),
        _chart_parts(result),
        LineChart(
            title="Share of operators on the device",
            x_title="epoch",
            y_title="share",
            lines=tuple(
                _show_depth(outcome, points)
                for outcome in result.outcomes
                if outcome.name in _SHOWN
            ),
        ),
    )


def _accumulate(
    result: SimulationResult, outcome: Outcome, points: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> Line:
    """Add up a policy's epochs."""
    total = result.time_epochs(outcome).mean(axis=0).cumsum()
    return Line(name=outcome.name, x=tuple((points + 1).tolist()), y=tuple(total[points].tolist()))


def _show_depth(outcome: Outcome, points: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Line:
    """Return how much a policy leaves on the device, over time."""
    depth = outcome.depths.mean(axis=(0, 2))
    return Line(name=outcome.name, x=tuple((points + 1).tolist()), y=tuple(depth[points].tolist()))


def _chart_reductions(result: SimulationResult) -> BarChart:
    """Chart by how much our first policy is below the others."""
    bars = [
        Bar(
            name=other,
            parts=(100 * share.mean,),
            low=None if share.low is None else 100 * share.low,
            high=None if share.high is None else 100 * share.high,
        )
        for ours, other, share in result.reductions
        if ours == result.lead.name
    ]
    return BarChart(
        title=f"How far {result.lead.name} is below each other policy",
        y_title="%",
        parts=("below",),
        bars=tuple(bars),
    )


def _chart_parts(result: SimulationResult) -> BarChart:
    """Chart what the delay of each policy is made of."""
    kinds = list(dict.fromkeys(kind for o in result.outcomes for kind, _ in sorted(o.parts)))
    bars = []
    for outcome in result.outcomes:
        sums = dict.fromkeys(kinds, 0.0)
        for (kind, _), seconds in outcome.parts.items():
            sums[kind] += seconds / max(result.decisions, 1)
        bars.append(Bar(name=outcome.name, parts=tuple(sums.values())))
    return BarChart(
        title="What a decision's delay is made of",
        y_title="s",
        parts=tuple(kind.replace("_", " ") for kind in kinds),
        bars=tuple(bars),
    )
