"""One annotated alias for each option of what lies where, and of how it may travel."""

from typing import Annotated

import typer

from onnxsplit.cli.formats import BoundaryName

DEFAULT_STATE = "auto"
DEFAULT_MAX_DRIFT = "0.01"

PinDevice = Annotated[
    list[str] | None,
    typer.Option(
        "--pin-device",
        metavar="GLOB",
        help="Keep these operators on the device: a name or op:TYPE, with * and ?; repeatable.",
    ),
]
PinServer = Annotated[
    list[str] | None,
    typer.Option(
        "--pin-server", metavar="GLOB", help="Keep these operators on the server; repeatable."
    ),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin", metavar="TIER=GLOB", help="Keep these operators on any one tier; repeatable."
    ),
]
InputAt = Annotated[
    list[str] | None,
    typer.Option(
        "--input-at",
        metavar="NAME=TIER",
        help="Where a model input lives: device (as all do by default) or server; repeatable.",
    ),
]
OutputAt = Annotated[
    list[str] | None,
    typer.Option(
        "--output-at",
        metavar="NAME=TIER",
        help="Where a model output is wanted: device (as all are by default) or server.",
    ),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="PAST=PRESENT",
        help="Inputs that are the last run's outputs, as 'past_*=present_*'; they stay on one tier."
        " Default: auto, by the usual names; none turns that off.",
    ),
]
CutAt = Annotated[
    list[str] | None,
    typer.Option(
        "--cut-at",
        metavar="T1,T2",
        help="Cut at exactly these tensors; repeatable; quote a name that holds a comma.",
    ),
]
Boundary = Annotated[
    BoundaryName | None,
    typer.Option(
        "--boundary",
        help="Let crossings travel as this type, or as whichever is best; default: as they are.",
    ),
]
MaxDrift = Annotated[
    str,
    typer.Option(
        "--max-drift",
        metavar="SHARE",
        help="How far outputs may drift for it, relative to their largest value.",
    ),
]
InputBytes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-bytes",
        metavar="NAME=SIZE",
        help="Size of an input as users send it, as image=120kB; repeatable.",
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Let the server run cheap operators as well, rather than be sent what they make.",
    ),
]
