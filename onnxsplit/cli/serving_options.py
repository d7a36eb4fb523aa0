"""One annotated alias for each option of what crosses a network."""

from typing import Annotated

import typer

FrontierCuts = Annotated[
    bool,
    typer.Option(
        "--frontier",
        help="Write the stages of every cut that is best at some bandwidth, weights once.",
    ),
]
