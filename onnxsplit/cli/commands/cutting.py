"""``onnxsplit cut``."""

import typer

from onnxsplit.cli import options
from onnxsplit.cli.arguments import parse_dims, parse_shapes, parse_share, parse_tensor_names
from onnxsplit.cli.formats import ObjectiveName, OutputFormat
from onnxsplit.cli.terminal import Terminal


def cut(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    output: options.OutputFolder = None,
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
    allow_whole: options.AllowWhole = False,
    min_share: options.MinShare = options.DEFAULT_MIN_SHARE,
    measure: options.Measure = None,
    stage_times: options.StageTimes = None,
    force: options.Force = False,
    no_verify: options.NoVerify = False,
    batches: options.Batches = options.DEFAULT_BATCHES,
    threads: options.Threads = None,
    provider: options.Provider = None,
    no_cache: options.NoCache = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Cut a model where it is best, write the stages and verify them.

    Without options the device is this machine, taken to be twenty times slower, the server is this
    machine and the link is nominal wifi: assumptions, and the result names them.
    """
    del config, objective  # read before this runs; latency is the one objective
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import cutting  # noqa: PLC0415 - help must not load it

        bundle = cutting.cut(
            model,
            output,
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
            allow_whole=allow_whole,
            min_share=parse_share(min_share),
            measure=measure,
            stage_times=stage_times or (),
            force=force,
            verify=not no_verify,
            batches=batches,
            threads=threads,
            provider=provider,
            cache=not no_cache,
            progress=progress,
        )
    from onnxsplit.reporting import bundle_report  # noqa: PLC0415 - likewise

    report = bundle_report.BundleReport(
        folder=bundle.folder, manifest=bundle.manifest, plan=bundle.plan, parity=bundle.parity
    )
    terminal.show(report.page(), report.document())
    if bundle.parity is not None and not bundle.parity.passed:
        raise typer.Exit(1)
