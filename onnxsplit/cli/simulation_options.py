"""The options of ``simulate``."""

from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number

Scenario = Annotated[
    Path, typer.Argument(metavar="SCENARIO", help="A scenario file (TOML; see samples/scenarios).")
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        parser=whole_number(1),
        help="How many seeds, in the place of the scenario's.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a key of the scenario, as channel.band=n257 or time.epochs=50; repeatable."
        " Files are then meant from this folder.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write a row for every decision."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.svg|FILE.png", help="Draw the result; PNG by matplotlib."),
]
