"""The options that every planning command has: written once, added to each command's own."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnxsplit.cli import answer_options, options, placement_options, runtime_options, tier_options
from onnxsplit.cli.arguments import (
    parse_dims,
    parse_drift,
    parse_links,
    parse_mix,
    parse_pairs,
    parse_places,
    parse_shapes,
    parse_sizes,
    parse_tiers,
)
from onnxsplit.cli.formats import CertifyName, MethodName
from onnxsplit.cli.limit_options import gather_limits, gather_objective

if TYPE_CHECKING:
    from onnxsplit.workflows.requests import PlanWishes

Command = Callable[..., None]
GatherWishes = Callable[[], "PlanWishes"]
"""Reads the shared options when it is called, where errors are told."""

_PLACE = "wishes"


def gather_wishes(  # noqa: PLR0913 - typer reads one parameter for each option
    *,
    device: tier_options.Device = tier_options.DEFAULT_DEVICE,
    server: tier_options.Server = tier_options.DEFAULT_SERVER,
    tier: tier_options.Tiers = None,
    link: tier_options.Link = None,
    uplink: tier_options.Uplink = None,
    downlink: tier_options.Downlink = None,
    rtt: tier_options.RoundTrip = None,
    device_runtime: runtime_options.DeviceRuntime = None,
    server_runtime: runtime_options.ServerRuntime = None,
    costs: tier_options.Costs = None,
    device_scale: tier_options.DeviceScale = None,
    server_scale: tier_options.ServerScale = None,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    mix: options.Mix = None,
    inputs: options.Inputs = None,
    pin_device: placement_options.PinDevice = None,
    pin_server: placement_options.PinServer = None,
    pin: placement_options.Pin = None,
    input_at: placement_options.InputAt = None,
    output_at: placement_options.OutputAt = None,
    state: placement_options.State = None,
    method: answer_options.Method = MethodName.AUTO,
    certify: answer_options.Certify = CertifyName.SOLVED,
    moving_from: answer_options.MovingFrom = None,
    amortise: answer_options.Amortise = None,
    alternatives: answer_options.Alternatives = answer_options.DEFAULT_ALTERNATIVES,
    sensitivity: answer_options.Sensitivity = False,
    explain: answer_options.Explain = None,
    threads: options.Threads = None,
    provider: options.Provider = None,
    no_cache: options.NoCache = False,
    boundary: placement_options.Boundary = None,
    max_drift: placement_options.MaxDrift = placement_options.DEFAULT_MAX_DRIFT,
    input_bytes: placement_options.InputBytes = None,
    recompute: placement_options.Recompute = False,
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
        "tiers": parse_tiers(tier),
        "link": parse_links(link, tier_options.DEFAULT_LINK),
        "uplink": uplink,
        "downlink": downlink,
        "rtt": rtt,
        "device_runtime": None if device_runtime is None else device_runtime.value,
        "server_runtime": None if server_runtime is None else server_runtime.value,
        "costs": costs,
        "device_scale": device_scale,
        "server_scale": server_scale,
        "shapes": parse_shapes(shape),
        "dims": parse_dims(dim),
        "mix": parse_mix(mix),
        "inputs": inputs,
        "pin_device": pin_device or (),
        "pin_server": pin_server or (),
        "pins": parse_pairs(pin, flag="--pin"),
        "input_at": parse_places(input_at, flag="--input-at"),
        "output_at": parse_places(output_at, flag="--output-at"),
        "state": tuple(state or (placement_options.DEFAULT_STATE,)),
        "method": method.value,
        "certify": certify.value,
        "moving_from": moving_from,
        "amortise": amortise,
        "alternatives": alternatives,
        "sensitivity": sensitivity,
        "explain": explain or (),
        "threads": threads,
        "provider": provider,
        "cache": not no_cache,
        "boundary": None if boundary is None else boundary.value,
        "max_drift": parse_drift(max_drift),
        "input_bytes": parse_sizes(input_bytes),
        "recompute": recompute,
    }


def with_planning_options(command: Command) -> Command:
    """Give a command the options of all gatherers, in the place of its parameter ``wishes``.

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
    gatherers: tuple[Callable[..., Any], ...] = (gather_wishes, gather_objective, gather_limits)
    parts = [(gather, inspect.signature(gather).parameters) for gather in gatherers]
    shared = {name: parameter for _, names in parts for name, parameter in names.items()}

    def run(**values: Any) -> None:  # noqa: ANN401 - what typer hands over
        given = {name: values.pop(name) for name in shared}

        def gather_all() -> dict[str, Any]:
            wishes: dict[str, Any] = {}
            for gather, names in parts:
                wishes |= gather(**{name: given[name] for name in names})
            return wishes

        command(**values, **{_PLACE: gather_all})

    merged = []
    for name, parameter in own.items():
        merged += list(shared.values()) if name == _PLACE else [parameter]
    run.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]  # for `inspect`
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
