"""One annotated alias for each option of profiling alone."""

from pathlib import Path
from typing import Annotated

import typer

ModelToProfile = Annotated[Path | None, typer.Argument(metavar="MODEL", help="The ONNX model.")]
OutputProfile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Profile to write (JSON)."),
]
Tier = Annotated[
    str | None,
    typer.Option(
        "--tier",
        metavar="NAME",
        help="The tier this machine is; default: device, or all that --stages finds.",
    ),
]
Stages = Annotated[
    Path | None,
    typer.Option(
        "--stages",
        metavar="DIR",
        help="Instead of a model, time the stages of a bundle, for `cut --stage-times`.",
    ),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE.json",
        help="Make the profile from what onnxruntime's profiler recorded on a target.",
    ),
]
Optimized = Annotated[
    Path | None,
    typer.Option(
        "--optimized",
        metavar="MODEL",
        help="The optimised model that the recorded session wrote; with --trace.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory for weights and values ('512MB'); a model that needs more is measured in"
        " segments, each loaded alone.",
    ),
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        metavar="KEY=VALUE",
        help="Option of the execution provider, as device_id=0; repeatable.",
    ),
]
IdleGap = Annotated[
    str | None,
    typer.Option(
        "--idle-gap",
        metavar="DURATION",
        help="Also time runs after pauses like this one, as 200ms.",
    ),
]
