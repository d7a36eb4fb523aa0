"""How long ``onnxsplit cut --help`` takes, beside an empty typer app in the same run."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

EMPTY = """
import typer
application = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
@application.callback()
def root() -> None: ...
@application.command()
def hello(name: str) -> None: ...
application()
"""
COMMANDS = {
    "onnxsplit": [sys.executable, "-m", "onnxsplit", "cut", "--help"],
    "empty_typer": [sys.executable, "-c", EMPTY, "hello", "--help"],
    "python": [sys.executable, "-c", "pass"],
}


def main(argv: Sequence[str]) -> None:
    """Run the commands in turn and print the medians and their ratio."""
    parser = argparse.ArgumentParser(prog="startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="runs of each command")
    rounds = parser.parse_args(argv).rounds
    for command in COMMANDS.values():  # fill the file cache
        _time(command)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            seconds[name].append(_time(command))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    report = {
        "median_seconds": medians,
        "ratio_to_empty_typer": medians["onnxsplit"] / medians["empty_typer"],
        "rounds": rounds,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _time(command: Sequence[str]) -> float:
    """Run one command and return its seconds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed commands
    return time.perf_counter() - started
