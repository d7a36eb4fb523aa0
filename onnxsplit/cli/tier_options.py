"""One annotated alias for each option that names machines, and the links between them."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DEVICE = "local:0.05"
DEFAULT_SERVER = "local"
DEFAULT_LINK = "wifi"

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="PROFILE|local[:SPEED]",
        help="The device: a profile file, this machine, or this machine SPEED times as fast.",
    ),
]
Server = Annotated[
    str,
    typer.Option("--server", metavar="PROFILE|local[:SPEED]", help="The server, likewise."),
]
Link = Annotated[
    list[str] | None,
    typer.Option(
        "--link",
        metavar="PRESET|RATE|FILE",
        help="3g, 4g, 5g, wifi or ethernet; a rate both ways ('20 Mbit/s'); or a link file."
        " Repeated with --tier, the device's first; default: wifi.",
    ),
]
Tiers = Annotated[
    list[str] | None,
    typer.Option(
        "--tier",
        metavar="NAME=PROFILE|local[:SPEED]",
        help="A tier of a chain, the device side first, in the place of --device and --server;"
        " repeatable.",
    ),
]
Uplink = Annotated[
    str | None,
    typer.Option("--uplink", metavar="RATE", help="Replace the link's rate to the server."),
]
Downlink = Annotated[
    str | None,
    typer.Option("--downlink", metavar="RATE", help="Replace the link's rate to the device."),
]
RoundTrip = Annotated[
    str | None,
    typer.Option("--rtt", metavar="DURATION", help="Replace the link's round trip ('15 ms')."),
]
Costs = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        metavar="FILE.csv",
        help="Every operator's seconds on both tiers (operator,device_seconds,server_seconds).",
    ),
]
DeviceScale = Annotated[
    Path | None,
    typer.Option(
        "--device-scale",
        metavar="FILE",
        help="How many times as long each type takes on the device (op_type,factor; * for the"
        " rest).",
    ),
]
ServerScale = Annotated[
    Path | None,
    typer.Option("--server-scale", metavar="FILE", help="The same for the server."),
]
