"""Charts as a PNG image, by matplotlib."""

import importlib.util
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxsplit.errors import UsageError
from onnxsplit.reporting.charts import COLOURS, BarChart, Chart, LineChart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (7.0, 4.5)
_DOTS_PER_INCH = 120


def check_matplotlib() -> None:
    """Make sure that PNG images can be drawn.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            'A .png needs matplotlib: pip install "onnxsplit[plot]", or give a file that ends in'
            " .svg."
        )


def draw_png(charts: Sequence[Chart]) -> bytes:
    """Draw charts, two beside each other.

    Parameters
    ----------
    charts : sequence of Chart

    Returns
    -------
    bytes
        A PNG image.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    rows = math.ceil(len(charts) / 2)
    size = (2 * _INCHES[0], rows * _INCHES[1])
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)  # draws for the figure from now on, without a screen
    for place, chart in enumerate(charts):
        axes = figure.add_subplot(rows, 2, place + 1)
        axes.set_title(chart.title)
        axes.set_ylabel(chart.y_title)
        if isinstance(chart, LineChart):
            _draw_lines(axes, chart)
        else:
            _draw_bars(axes, chart)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _draw_lines(axes: "Axes", chart: LineChart) -> None:
    """Draw curves."""
    for place, line in enumerate(chart.lines):
        axes.plot(line.x, line.y, label=line.name, color=COLOURS[place % len(COLOURS)])
    axes.set_xlabel(chart.x_title)
    axes.set_ylim(bottom=0)
    if chart.lines:
        axes.legend()


def _draw_bars(axes: "Axes", chart: BarChart) -> None:
    """Draw bars."""
    below = [0.0] * len(chart.bars)
    names = [bar.name for bar in chart.bars]
    for place, part in enumerate(chart.parts):
        heights = [bar.parts[place] for bar in chart.bars]
        colour = COLOURS[place % len(COLOURS)]
        axes.bar(names, heights, bottom=below, label=part, color=colour)
        below = [sum(pair) for pair in zip(below, heights, strict=True)]
    for place, bar in enumerate(chart.bars):
        if bar.low is not None and bar.high is not None:
            axes.plot([place, place], [bar.low, bar.high], color="#222222")
    axes.tick_params(axis="x", rotation=35)
    if len(chart.parts) > 1:
        axes.legend(fontsize="small")
