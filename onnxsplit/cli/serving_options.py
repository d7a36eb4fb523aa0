"""One annotated alias for each option of what crosses a network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number


class FallbackName(StrEnum):
    """What to do while the server is away."""

    DEVICE = "device"
    ERROR = "error"


class WhenFullName(StrEnum):
    """What to do with inputs that come faster than they can be run."""

    BLOCK = "block"
    DROP_OLDEST = "drop-oldest"


FrontierCuts = Annotated[
    bool,
    typer.Option(
        "--frontier",
        help="Write the stages of every cut that is best at some bandwidth, weights once.",
    ),
]

Server = Annotated[
    str,
    typer.Option("--server", metavar="URL", help="The server half, such as http://host:8000."),
]
RunInputs = Annotated[
    str,
    typer.Option(
        "--inputs",
        metavar="FILE|DIR|-",
        help="Real inputs, one array for each by name.",
    ),
]
RunOutput = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        help="Where the outputs go (.npz); - for the pipe, the report to stderr then.",
    ),
]
Repeat = Annotated[
    int,
    typer.Option(
        "--repeat", metavar="N", parser=whole_number(1), help="Go through the inputs N times."
    ),
]
Depth = Annotated[
    int,
    typer.Option(
        "--depth",
        metavar="N",
        parser=whole_number(1),
        help="Runs in flight: the device works on the next while the last ones travel.",
    ),
]
WhenFull = Annotated[
    WhenFullName,
    typer.Option(
        "--when-full", help="Wait, or drop the oldest inputs that wait, as for live streams."
    ),
]
Adaptive = Annotated[
    bool,
    typer.Option("--adaptive", help="Watch the link, and switch among the cuts of --frontier."),
]
Every = Annotated[
    str | None,
    typer.Option("--every", metavar="DURATION", help="Least time between inputs: 33ms."),
]
Deadline = Annotated[
    str,
    typer.Option("--deadline", metavar="DURATION", help="Longest time for a run: 500ms."),
]
Fallback = Annotated[
    FallbackName | None,
    typer.Option(
        "--fallback",
        help="While the server is away: run all here, or fail. Default: here, if the whole model"
        " is at hand.",
    ),
]
ServedName = Annotated[
    str | None,
    typer.Option(
        "--served-name",
        metavar="NAME",
        help="The name that the server half has; default: the folder's, without .split.",
    ),
]
Cut = Annotated[
    str | None,
    typer.Option("--cut-id", metavar="ID", help="Which cut, of a bundle of several: cut-2."),
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", help="Certificates that the server's must come from (PEM)."
    ),
]
Compress = Annotated[
    bool,
    typer.Option("--compress", help="Compress what travels (zstd), if the server takes that."),
]
Url = Annotated[
    str, typer.Argument(metavar="URL", help="A server that `serve` runs: http://host:8000.")
]
OutputLink = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Link file to write (JSON).")
]
Label = Annotated[
    str, typer.Option("--label", metavar="TEXT", help="How people call the link, such as office.")
]
