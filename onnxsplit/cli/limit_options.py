"""The options that say what a placement must keep to, and what energy is made of."""

from typing import TYPE_CHECKING, Annotated

import typer

from onnxsplit.cli import objective_options
from onnxsplit.cli.arguments import parse_share, whole_number
from onnxsplit.cli.formats import ObjectiveName
from onnxsplit.cli.objectives import read_training
from onnxsplit.errors import UsageError

if TYPE_CHECKING:
    from onnxsplit.workflows.limit_requests import LimitWishes
    from onnxsplit.workflows.requests import PlanWishes

DeviceOps = Annotated[
    str | None,
    typer.Option(
        "--device-ops",
        metavar="FILE|openvino",
        help="Operator types that the device can run, one a line or a JSON list, or openvino to ask"
        " it itself; others run elsewhere.",
    ),
]
BanTensor = Annotated[
    list[str] | None,
    typer.Option("--ban-tensor", metavar="GLOB", help="These tensors may not travel; repeatable."),
]
BanDtype = Annotated[
    list[str] | None,
    typer.Option(
        "--ban-dtype", metavar="DTYPE", help="No tensor of this type may travel; repeatable."
    ),
]
PrivateDepth = Annotated[
    int,
    typer.Option(
        "--private-depth",
        parser=whole_number(0),
        metavar="N",
        help="Nothing leaves the device with fewer than N operators behind it, on the longest way.",
    ),
]
Private = Annotated[
    list[str] | None,
    typer.Option(
        "--private",
        metavar="GLOB",
        help="These tensors, and all they are made from, never leave the device; repeatable.",
    ),
]
KeepTogether = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-together",
        metavar="GLOB",
        help="All operators of this name or op:TYPE run on one tier; repeatable.",
    ),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        "--device-memory", metavar="SIZE", help="For weights and values on the device ('512MB')."
    ),
]
ServerMemory = Annotated[
    str | None, typer.Option("--server-memory", metavar="SIZE", help="The same on the server.")
]
MaxEnergy = Annotated[
    str | None,
    typer.Option("--max-energy", metavar="ENERGY", help="The most that a run may take ('0.5J')."),
]
MaxLatency = Annotated[
    str | None,
    typer.Option(
        "--max-latency", metavar="DURATION", help="The longest that a run may take ('50ms')."
    ),
]
LeastShare = Annotated[
    str,
    typer.Option(
        "--least-share",
        metavar="SHARE",
        help="Every tier must have this much of the work (--min-share only warns).",
    ),
]
DeviceWatts = Annotated[
    float | None,
    typer.Option("--device-watts", metavar="W", help="What the device draws while it computes."),
]
ServerWatts = Annotated[
    float | None,
    typer.Option(
        "--server-watts", metavar="W", help="The same of the server; default: not counted."
    ),
]
TransmitWatts = Annotated[
    float,
    typer.Option("--transmit-watts", metavar="W", help="What the device draws while it sends."),
]
ReceiveWatts = Annotated[
    float,
    typer.Option("--receive-watts", metavar="W", help="What the device draws while it receives."),
]
IdleWatts = Annotated[
    float,
    typer.Option("--idle-watts", metavar="W", help="What the device draws while it waits."),
]
JoulesPerSecond = Annotated[
    float,
    typer.Option(
        "--joules-per-second",
        metavar="J",
        help="With --objective energy: what a second of latency counts like.",
    ),
]


def gather_limits(  # noqa: PLR0913 - typer reads one parameter for each option
    *,
    device_ops: DeviceOps = None,
    ban_tensor: BanTensor = None,
    ban_dtype: BanDtype = None,
    private_depth: PrivateDepth = 0,
    private: Private = None,
    keep_together: KeepTogether = None,
    device_memory: DeviceMemory = None,
    server_memory: ServerMemory = None,
    max_energy: MaxEnergy = None,
    max_latency: MaxLatency = None,
    least_share: LeastShare = "0%",
) -> "LimitWishes":
    """Turn what was typed into what a placement must keep to.

    Raises
    ------
    UsageError
        An option can't be read.
    """
    return {
        "device_ops": device_ops,
        "ban_tensor": ban_tensor or (),
        "ban_dtype": ban_dtype or (),
        "private_depth": private_depth,
        "private": private or (),
        "keep_together": keep_together or (),
        "device_memory": device_memory,
        "server_memory": server_memory,
        "max_energy": max_energy,
        "max_latency": max_latency,
        "least_share": parse_share(least_share, flag="--least-share"),
    }


def gather_objective(  # noqa: PLR0913 - typer reads one parameter for each option
    *,
    objective: objective_options.Objective = ObjectiveName.LATENCY,
    iterations: objective_options.Iterations = None,
    labels: objective_options.Labels = None,
    label_bytes: objective_options.LabelBytes = None,
    freeze: objective_options.Freeze = None,
    device_watts: DeviceWatts = None,
    server_watts: ServerWatts = None,
    transmit_watts: TransmitWatts = 0.0,
    receive_watts: ReceiveWatts = 0.0,
    idle_watts: IdleWatts = 0.0,
    joules_per_second: JoulesPerSecond = 0.0,
) -> "PlanWishes":
    """Turn what was typed into what is minimised, and what each tier draws.

    Raises
    ------
    UsageError
        A power is negative or not finite, or energy is to be minimised and nobody said what
        anything draws; or an option goes with another objective.
    """
    from onnxsplit.objectives import Energy, Power, Throughput  # noqa: PLC0415 - help must not load it

    training = read_training(
        objective, iterations=iterations, labels=labels, label_bytes=label_bytes, freeze=freeze
    )
    powers = {}
    if device_watts is not None or transmit_watts or receive_watts or idle_watts:
        powers["device"] = Power(
            compute_watts=device_watts or 0.0,
            transmit_watts=transmit_watts,
            receive_watts=receive_watts,
            idle_watts=idle_watts,
        )
    if server_watts is not None:
        powers["server"] = Power(compute_watts=server_watts)
    if objective is not ObjectiveName.ENERGY:
        if joules_per_second:
            raise UsageError("--joules-per-second is for --objective energy; leave it out.")
        if objective is ObjectiveName.THROUGHPUT:
            return {"objective": Throughput(), "powers": powers}
        if training is None:
            return {"powers": powers}
        if powers:
            raise UsageError(
                "What the tiers draw is not told for --objective training; leave out the watts."
            )
        return {"objective": training}
    if not powers:
        raise UsageError(
            "--objective energy needs to know what the tiers draw; give --device-watts and what"
            " else counts."
        )
    return {"objective": Energy(powers=powers, joules_per_second=joules_per_second)}
