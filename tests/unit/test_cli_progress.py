import io

from rich.console import Console
from rich.progress import Progress as RichProgress

from onnxsplit.cli.progressbar import REFRESH_SECONDS, BarProgress, LineProgress


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class CountingProgress(RichProgress):
    """Counts how often it is drawn."""

    drawn = 0

    def refresh(self) -> None:
        self.drawn += 1
        super().refresh()


def make_bar() -> CountingProgress:
    console = Console(file=io.StringIO(), force_terminal=True)
    return CountingProgress(console=console, auto_refresh=False)


def test_a_line_is_written_when_a_step_begins() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    for done in range(3):
        progress.report("profiling", done=done, total=3)
    progress.report("planning")
    assert stream.getvalue() == "profiling ...\nplanning ...\n"


def test_the_bar_is_drawn_at_most_so_often_but_for_every_new_step() -> None:
    bar, clock = make_bar(), Clock()
    progress = BarProgress(bar, clock)
    before = bar.drawn
    for done in range(1000):
        progress.report("profiling", done=done, total=1000)
    assert bar.drawn - before == 1
    clock.seconds += REFRESH_SECONDS
    progress.report("profiling", done=1000, total=1000)
    assert bar.drawn - before == 2
    progress.report("planning")
    assert bar.drawn - before == 3


def test_the_bar_shows_one_step_at_a_time() -> None:
    bar = make_bar()
    progress = BarProgress(bar, Clock())
    progress.report("profiling", done=3, total=7)
    assert [(task.description, task.completed, task.total) for task in bar.tasks] == [
        ("profiling", 3, 7)
    ]
    progress.report("planning")
    assert [task.description for task in bar.tasks] == ["planning"]
