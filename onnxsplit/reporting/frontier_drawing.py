"""A frontier as an SVG drawing: cost over uplink rate, both logarithmic."""

import math
from html import escape

from onnxsplit.frontiers import Frontier, FrontierSegment
from onnxsplit.tiers import Link
from onnxsplit.units import format_rate

_WIDTH, _HEIGHT, _MARGIN = 720, 360, 64
_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    ' font-family="sans-serif" font-size="12">'
)
_COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b4b94", "#b08900", "#3d5a6c")
_STEPS = 24
_MARGIN_DECADES = 1.0
_ALONE = (1e5, 1e8)
"""Rates to draw between where one placement is best everywhere."""


def list_rates(frontier: Frontier, *, count: int) -> list[float]:
    """Return rates spread evenly, by their logarithm, around the breakpoints.

    Parameters
    ----------
    frontier : Frontier
    count : int
        How many, beside the breakpoints themselves.

    Returns
    -------
    list of float
        Uplink rates in bytes per second, rising.
    """
    low, high = _find_range(frontier)
    step = (high - low) / (count - 1)
    spread = {10 ** (low + place * step) for place in range(count)}
    return sorted(spread | set(_list_breakpoints(frontier)))


def draw_frontier(frontier: Frontier) -> str:
    """Draw a frontier.

    Parameters
    ----------
    frontier : Frontier

    Returns
    -------
    str
        An SVG document of its own.
    """
    low, high = _find_range(frontier)
    curves = [
        _sample(frontier, segment, low, high)
        for segment in frontier.segments
        if segment.from_bytes_per_second < 10**high
    ]
    costs = [cost for curve in curves for _, cost in curve if cost > 0]
    bottom, top = math.log10(min(costs, default=1.0)), math.log10(max(costs, default=1.0))
    canvas = _Canvas(low=low, high=high, bottom=bottom - 0.05, top=top + 0.05)
    lines = [
        _HEAD,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *canvas.draw_axes(frontier),
    ]
    for place, (segment, curve) in enumerate(zip(frontier.segments, curves, strict=False)):
        colour = _COLOURS[place % len(_COLOURS)]
        points = " ".join(canvas.place(rate, cost) for rate, cost in curve)
        title = escape(_word_segment(segment))
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="3">'
            f"<title>{title}</title></polyline>"
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _list_breakpoints(frontier: Frontier) -> list[float]:
    """Return the rates at which the best placement changes."""
    return [segment.from_bytes_per_second for segment in frontier.segments[1:]]


def _find_range(frontier: Frontier) -> tuple[float, float]:
    """Return the logarithms of the rates to draw between."""
    rates = _list_breakpoints(frontier) or list(_ALONE)
    return math.log10(rates[0]) - _MARGIN_DECADES, math.log10(rates[-1]) + _MARGIN_DECADES


def _sample(
    frontier: Frontier, segment: FrontierSegment, low: float, high: float
) -> list[tuple[float, float]]:
    """Return rates and costs along a segment."""
    start = math.log10(max(segment.from_bytes_per_second, 10**low))
    end = math.log10(min(segment.to_bytes_per_second, 10**high))
    rates = [10 ** (start + (end - start) * place / _STEPS) for place in range(_STEPS + 1)]
    return [
        (
            rate,
            segment.cut.cost(
                Link(up_bytes_per_second=rate, down_bytes_per_second=rate * frontier.down_per_up)
            ),
        )
        for rate in rates
    ]


def _word_segment(segment: FrontierSegment) -> str:
    """Say what a curve stands for."""
    names = ", ".join(crossing.tensor for crossing in segment.cut.crossings)
    return f"{segment.cut.placement.verdict}: {names}" if names else segment.cut.placement.verdict


class _Canvas:
    """Where rates and costs lie on the drawing."""

    def __init__(self, *, low: float, high: float, bottom: float, top: float) -> None:
        self._low, self._high, self._bottom, self._top = low, high, bottom, top

    def place(self, rate: float, cost: float) -> str:
        """Return the point of a rate and a cost."""
        across = (math.log10(rate) - self._low) / (self._high - self._low)
        up = 0.0
        if cost > 0:
            up = (math.log10(cost) - self._bottom) / (self._top - self._bottom)
        x = _MARGIN + across * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - up * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    def draw_axes(self, frontier: Frontier) -> list[str]:
        """Draw the frame, the breakpoints with their rates, and what is drawn."""
        title = (
            f"{frontier.objective}, {10**self._bottom:.3g} to {10**self._top:.3g} {frontier.unit}"
        )
        right, base = _WIDTH - _MARGIN, _HEIGHT - _MARGIN
        lines = [
            f'<path d="M{_MARGIN},{_MARGIN} V{base} H{right}" fill="none" stroke="#444444"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN - 12}">{escape(title)}</text>',
            f'<text x="{right}" y="{_HEIGHT - 12}" text-anchor="end">uplink rate</text>',
        ]
        for rate in _list_breakpoints(frontier):
            x = self.place(rate, 1.0).split(",")[0]
            lines += [
                f'<path d="M{x},{_MARGIN} V{base}" stroke="#bbbbbb" stroke-dasharray="4 4"/>',
                f'<text x="{x}" y="{base + 18}" text-anchor="middle">{format_rate(rate)}</text>',
            ]
        return lines
