"""``onnxsplit plan``."""

import typer

from onnxsplit.cli import options
from onnxsplit.cli.arguments import parse_dims, parse_shapes, parse_tensor_names
from onnxsplit.cli.formats import ObjectiveName, OutputFormat
from onnxsplit.cli.terminal import Terminal


def plan(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
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
    pin_device: options.PinDevice = None,
    pin_server: options.PinServer = None,
    cut_at: options.CutAt = None,
    objective: options.Objective = ObjectiveName.LATENCY,
    placement: options.PlacementFile = None,
    require_split: options.RequireSplit = False,
    timings: options.Timings = False,
    threads: options.Threads = None,
    provider: options.Provider = None,
    no_cache: options.NoCache = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the best placement and what it costs, and write nothing.

    The true optimum, be it a split or not; with profiles for both sides it needs no weights.
    """
    del config, objective  # read before this runs; latency is the one objective
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import planning  # noqa: PLC0415 - help must not load it

        made = planning.plan(
            model,
            device=device,
            server=server,
            link=link,
            uplink=uplink,
            downlink=downlink,
            rtt=rtt,
            costs=costs,
            device_scale=device_scale,
            server_scale=server_scale,
            shapes=parse_shapes(shape),
            dims=parse_dims(dim),
            inputs=inputs,
            pin_device=pin_device or (),
            pin_server=pin_server or (),
            cut_at=parse_tensor_names(cut_at),
            placement=placement,
            require_split=require_split,
            threads=threads,
            provider=provider,
            cache=not no_cache,
            progress=progress,
        )
    from onnxsplit.reporting import plan_report  # noqa: PLC0415 - likewise

    terminal.show(plan_report.describe_plan(made), plan_report.plan_document(made, timings=timings))
