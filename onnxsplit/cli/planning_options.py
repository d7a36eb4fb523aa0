"""The options that every planning command has: written once, added to each command's own."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnxsplit.cli import options
from onnxsplit.cli.arguments import parse_dims, parse_shapes
from onnxsplit.cli.formats import ObjectiveName
from onnxsplit.cli.objectives import read_objective

if TYPE_CHECKING:
    from onnxsplit.workflows.requests import PlanWishes

Command = Callable[..., None]
GatherWishes = Callable[[], "PlanWishes"]
"""Reads the shared options when it is called, where errors are told."""

_PLACE = "wishes"


def gather_wishes(  # noqa: PLR0913 - typer reads one parameter for each option
    *,
    device: options.Device = options.DEFAULT_DEVICE,
    server: options.Server = options.DEFAULT_SERVER,
    link: options.Link = options.DEFAULT_LINK,
    uplink: options.Uplink = None,
    downlink: options.Downlink = None,
    rtt: options.RoundTrip = None,
    costs: options.Costs = None,
    device_scale: options.DeviceScale = None,
    server_scale: options.ServerScale = None,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    inputs: options.Inputs = None,
    objective: options.Objective = ObjectiveName.LATENCY,
    iterations: options.Iterations = None,
    labels: options.Labels = None,
    label_bytes: options.LabelBytes = None,
    freeze: options.Freeze = None,
    pin_device: options.PinDevice = None,
    pin_server: options.PinServer = None,
    alternatives: options.Alternatives = options.DEFAULT_ALTERNATIVES,
    sensitivity: options.Sensitivity = False,
    explain: options.Explain = None,
    threads: options.Threads = None,
    provider: options.Provider = None,
    no_cache: options.NoCache = False,
) -> "PlanWishes":
    """Turn what was typed into what a plan is asked for.

    Raises
    ------
    UsageError
        An option can't be read.
    """
    return {
        "device": device,
        "server": server,
        "link": link,
        "uplink": uplink,
        "downlink": downlink,
        "rtt": rtt,
        "costs": costs,
        "device_scale": device_scale,
        "server_scale": server_scale,
        "shapes": parse_shapes(shape),
        "dims": parse_dims(dim),
        "inputs": inputs,
        "objective": read_objective(
            objective,
            iterations=iterations,
            labels=labels,
            label_bytes=label_bytes,
            freeze=freeze,
        ),
        "pin_device": pin_device or (),
        "pin_server": pin_server or (),
        "alternatives": alternatives,
        "sensitivity": sensitivity,
        "explain": explain or (),
        "threads": threads,
        "provider": provider,
        "cache": not no_cache,
    }


def with_planning_options(command: Command) -> Command:
    """Give a command the options of `gather_wishes`, in the place of its parameter ``wishes``.

    Parameters
    ----------
    command : callable
        Its parameter ``wishes`` is a `GatherWishes`.

    Returns
    -------
    callable
        With a signature that lists all options, as typer reads it.
    """
    own = inspect.signature(command).parameters
    shared = inspect.signature(gather_wishes).parameters

    def run(**values: Any) -> None:  # noqa: ANN401 - what typer hands over
        given = {name: values.pop(name) for name in shared}
        command(**values, **{_PLACE: lambda: gather_wishes(**given)})

    merged = []
    for name, parameter in own.items():
        merged += list(shared.values()) if name == _PLACE else [parameter]
    run.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]  # for `inspect`
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
