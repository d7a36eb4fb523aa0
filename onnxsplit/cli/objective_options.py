"""One annotated alias for each option of what is minimised."""

from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.cli.formats import LabelPlace, ObjectiveName

Objective = Annotated[ObjectiveName, typer.Option("--objective", help="What is minimised.")]
Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        parser=whole_number(1),
        metavar="N",
        help="Training: local iterations of an epoch; default: 1.",
    ),
]
Labels = Annotated[
    LabelPlace | None,
    typer.Option("--labels", help="Training: where the labels live; default: server."),
]
LabelBytes = Annotated[
    str | None,
    typer.Option(
        "--label-bytes",
        metavar="SIZE",
        help="Training: the labels of one batch ('256 B'); default: 8 bytes a row.",
    ),
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze",
        metavar="GLOB",
        help="Training: operators or initializers that are not trained; repeatable.",
    ),
]
