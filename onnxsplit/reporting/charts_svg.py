"""Charts as one SVG document, two beside each other."""

import math
from collections.abc import Sequence
from html import escape

from onnxsplit.reporting.charts import COLOURS, Bar, BarChart, Chart, LineChart

_WIDTH, _HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 130, 40, 64
_TICKS = 5
_BAR_SHARE = 0.7


def draw_svg(charts: Sequence[Chart]) -> str:
    """Draw charts.

    Parameters
    ----------
    charts : sequence of Chart

    Returns
    -------
    str
        An SVG document of its own.
    """
    rows = math.ceil(len(charts) / 2)
    width, height = 2 * _WIDTH, rows * _HEIGHT
    font = 'font-family="sans-serif" font-size="11"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for place, chart in enumerate(charts):
        x, y = place % 2 * _WIDTH, place // 2 * _HEIGHT
        lines.append(f'<g transform="translate({x},{y})">')
        lines += _draw_lines(chart) if isinstance(chart, LineChart) else _draw_bars(chart)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


class _Axis:
    """Values along one side of a chart."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.low, self.high = min((0.0, *values)), max((0.0, *values))
        if self.high == self.low:
            self.high = self.low + 1.0
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def list_ticks(self) -> list[float]:
        """Return round values to mark."""
        rough = (self.high - self.low) / _TICKS
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * size for size in (1, 2, 5, 10) if power * size >= rough)
        first = math.ceil(self.low / step)
        return [step * count for count in range(first, math.floor(self.high / step) + 1)]


def _draw_frame(title: str, y_title: str, axis: _Axis) -> list[str]:
    """Draw the title and the upright axis."""
    right = _WIDTH - _RIGHT
    lines = [
        f'<text x="{_LEFT}" y="20" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP - 6}" text-anchor="end">{escape(y_title)}</text>',
    ]
    for tick in axis.list_ticks():
        y = axis.place(tick)
        lines += [
            f'<path d="M{_LEFT},{y:.1f} H{right}" stroke="#dddddd"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    return lines


def _draw_legend(names: Sequence[str]) -> list[str]:
    """Name the colours."""
    lines = []
    for place, name in enumerate(names):
        x, y = _WIDTH - _RIGHT + 12, _TOP + 16 * place
        lines += [
            f'<rect x="{x}" y="{y}" width="10" height="10" fill="{_colour(place)}"/>',
            f'<text x="{x + 15}" y="{y + 9}">{escape(name)}</text>',
        ]
    return lines


def _colour(place: int) -> str:
    """Return the colour of a line or a part."""
    return COLOURS[place % len(COLOURS)]


def _draw_lines(chart: LineChart) -> list[str]:
    """Draw curves."""
    base, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    upright = _Axis([y for line in chart.lines for y in line.y], base, _TOP)
    along = _Axis([x for line in chart.lines for x in line.x], _LEFT, right)
    lines = _draw_frame(chart.title, chart.y_title, upright)
    for tick in along.list_ticks():
        lines.append(
            f'<text x="{along.place(tick):.1f}" y="{base + 16}" text-anchor="middle">{tick:g}'
            "</text>"
        )
    lines.append(f'<text x="{right}" y="{base + 32}" text-anchor="end">{chart.x_title}</text>')
    for place, line in enumerate(chart.lines):
        points = " ".join(
            f"{along.place(x):.1f},{upright.place(y):.1f}"
            for x, y in zip(line.x, line.y, strict=True)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{_colour(place)}" stroke-width="2">'
            f"<title>{escape(line.name)}</title></polyline>"
        )
    return [*lines, *_draw_legend([line.name for line in chart.lines])]


def _draw_bars(chart: BarChart) -> list[str]:
    """Draw bars."""
    ends = [value for bar in chart.bars for value in (sum(bar.parts), bar.low, bar.high)]
    base, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    upright = _Axis([end for end in ends if end is not None], base, _TOP)
    lines = _draw_frame(chart.title, chart.y_title, upright)
    pitch = (right - _LEFT) / max(1, len(chart.bars))
    for place, bar in enumerate(chart.bars):
        x = _LEFT + pitch * (place + (1 - _BAR_SHARE) / 2)
        lines += _draw_bar(bar, x, pitch * _BAR_SHARE, upright)
        middle = x + pitch * _BAR_SHARE / 2
        lines.append(
            f'<text x="{middle:.1f}" y="{base + 14}" text-anchor="end"'
            f' transform="rotate(-35 {middle:.1f} {base + 14})">{escape(bar.name)}</text>'
        )
    return [*lines, *(_draw_legend(chart.parts) if len(chart.parts) > 1 else [])]


def _draw_bar(bar: Bar, x: float, width: float, upright: _Axis) -> list[str]:
    """Draw one bar with its interval."""
    lines, below = [], 0.0
    for place, part in enumerate(bar.parts):
        ends = upright.place(below), upright.place(below + part)
        lines.append(
            f'<rect x="{x:.1f}" y="{min(ends):.1f}" width="{width:.1f}"'
            f' height="{abs(ends[1] - ends[0]):.1f}" fill="{_colour(place)}"/>'
        )
        below += part
    if bar.low is not None and bar.high is not None:
        middle = x + width / 2
        lines.append(
            f'<path d="M{middle:.1f},{upright.place(bar.low):.1f}'
            f' V{upright.place(bar.high):.1f}" stroke="#222222" stroke-width="2"/>'
        )
    return lines
