"""One annotated alias for each argument and option; commands share them.

The long flag of an option is its name everywhere: ``--pin-device`` is the key ``pin-device`` in a
configuration file and the variable ``ONNXSPLIT_PIN_DEVICE`` in the environment.
"""

from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.cli.configuration import load_defaults
from onnxsplit.cli.formats import OutputFormat

DEFAULT_BUDGET = "10s"
DEFAULT_BATCHES = 2

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX model.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by `cut`.")]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder to write; default: <model>.split here.",
    ),
]
OutputModel = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="ONNX model to write.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there, whoever wrote it.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME=DIMS", help="Shape of an input, as x=1,3,224,224; repeatable."
    ),
]
Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=N", help="Size of a symbolic dim, as batch=1; repeatable."),
]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        "--mix",
        metavar="DIMS:WEIGHT",
        help="One of several shapes to plan for, and how much it counts, as seq=128:1; repeatable."
        " Profile files are then one for each, separated by commas.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option("--inputs", metavar="FILE.npz", help="Real inputs, one array for each by name."),
]
Budget = Annotated[
    str, typer.Option("--budget", metavar="DURATION", help="Longest time to measure.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", parser=whole_number(1), metavar="N", help="Threads within an operator."
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider of onnxruntime, or device of OpenVINO; default: the CPU's.",
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Measure anew and leave the profile cache alone.")
]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Do not run the stages against the whole model.")
]
WholeModel = Annotated[
    Path | None,
    typer.Option("--model", metavar="MODEL", help="The whole model; default: the merged stages."),
]
Batches = Annotated[
    int,
    typer.Option(
        "--batches", parser=whole_number(1), metavar="N", help="Sets of inputs to compare on."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", parser=whole_number(0), metavar="N", help="Seed of drawn inputs.")
]
Format = Annotated[OutputFormat, typer.Option("--format", help="How the result is printed.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an unexpected error.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=load_defaults,
        help="Configuration; default: onnxsplit.toml, else pyproject.toml, of this folder.",
    ),
]
