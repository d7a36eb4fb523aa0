"""One annotated alias for each option of how a plan is found, taken, and told."""

from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.cli.formats import CertifyName, MethodName

DEFAULT_MIN_SHARE = "5%"
DEFAULT_ALTERNATIVES = 3

Method = Annotated[
    MethodName,
    typer.Option(
        "--method",
        help="Solve on the whole graph, or on the one whose blocks are contracted; same value.",
    ),
]
Certify = Annotated[
    CertifyName,
    typer.Option(
        "--certify",
        help="Where blocks were contracted: certify on the graph solved, or on the original too.",
    ),
]
TwoDimensional = Annotated[
    bool,
    typer.Option(
        "--two-dimensional", help="Find the cuts for every pair of uplink and downlink rates too."
    ),
]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the frontier (SVG).")]
MovingFrom = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="BUNDLE|PLAN",
        help="Count what moving from this placement costs: the weights that a tier lacks.",
    ),
]
Amortise = Annotated[
    int | None,
    typer.Option(
        "--amortise",
        parser=whole_number(1),
        metavar="N",
        help="With --from: spread that over N runs; default: 1.",
    ),
]
Alternatives = Annotated[
    int,
    typer.Option(
        "--alternatives",
        parser=whole_number(0),
        metavar="K",
        help="List the K next best splits, no two with the same crossings.",
    ),
]
Sensitivity = Annotated[
    bool,
    typer.Option(
        "--sensitivity",
        help="Tell how far each rate and speed may move before the answer changes.",
    ),
]
Explain = Annotated[
    list[str] | None,
    typer.Option(
        "--explain",
        metavar="OPERATOR",
        help="Tell why this operator is where it is; repeatable.",
    ),
]
AllowWhole = Annotated[
    bool, typer.Option("--allow-whole", help="Accept not splitting where that is faster.")
]
MinShare = Annotated[
    str,
    typer.Option(
        "--min-share",
        metavar="SHARE",
        help="Warn, and name the next cut, when one side holds less of the compute time.",
    ),
]
Measure = Annotated[
    int | None,
    typer.Option(
        "--measure",
        parser=whole_number(0),
        metavar="K",
        help="Carve the K best candidates, time them here and take the fastest;"
        " default: 3 if both tiers are this machine, else 0.",
    ),
]
StageTimes = Annotated[
    list[Path] | None,
    typer.Option(
        "--stage-times",
        metavar="FILE",
        help="Times that `profile --stages` took on a target; repeatable.",
    ),
]
RequireSplit = Annotated[
    bool, typer.Option("--require-split", help="Plan the best split that leaves no side empty.")
]
PlacementFile = Annotated[
    Path | None,
    typer.Option(
        "--placement", metavar="FILE", help="Price this placement (a plan, or its placement)."
    ),
]
Timings = Annotated[
    bool, typer.Option("--timings", help="Add to the JSON what solving or deciding took here.")
]
