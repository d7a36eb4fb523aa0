"""``onnxsplit cut``."""

import typer

from onnxsplit.cli import (
    answer_options,
    options,
    placement_options,
    recipes,
    runtime_options,
    serving_options,
    training_options,
)
from onnxsplit.cli.arguments import parse_share, parse_tensor_names
from onnxsplit.cli.formats import OutputFormat, PrecisionName, StageFormatName
from onnxsplit.cli.planning_options import GatherWishes, with_planning_options
from onnxsplit.cli.terminal import Terminal


@with_planning_options
def cut(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    wishes: GatherWishes,
    output: options.OutputFolder = None,
    cut_at: placement_options.CutAt = None,
    allow_whole: answer_options.AllowWhole = False,
    min_share: answer_options.MinShare = answer_options.DEFAULT_MIN_SHARE,
    frontier: serving_options.FrontierCuts = False,
    measure: answer_options.Measure = None,
    stage_times: answer_options.StageTimes = None,
    loss: training_options.Loss = None,
    optimizer: training_options.Optimizer = None,
    momentum: training_options.Momentum = None,
    weight_decay: training_options.WeightDecay = None,
    norms: training_options.Norms = None,
    tied: training_options.Tied = None,
    recompute_activations: training_options.RecomputeActivations = False,
    device_opset: runtime_options.DeviceOpset = None,
    device_precision: runtime_options.DevicePrecision = PrecisionName.FP32,
    device_format: runtime_options.DeviceFormat = StageFormatName.ONNX,
    force: options.Force = False,
    no_verify: options.NoVerify = False,
    batches: options.Batches = options.DEFAULT_BATCHES,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Cut a model where it is best, write the stages and verify them.

    Without options the device is this machine, taken to be twenty times slower, the server is this
    machine and the link is nominal wifi: assumptions, and the result names them.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import cutting  # noqa: PLC0415 - help must not load it

        bundle = cutting.cut(
            model,
            output,
            cut_at=parse_tensor_names(cut_at),
            allow_whole=allow_whole,
            min_share=parse_share(min_share),
            frontier=frontier,
            measure=measure,
            stage_times=stage_times or (),
            training=recipes.read_recipe(
                loss,
                optimizer=optimizer,
                momentum=momentum,
                weight_decay=weight_decay,
                norms=norms,
                tied=tied,
                recompute=recompute_activations,
            ),
            device_opset=device_opset,
            device_precision=device_precision.value,
            device_format=device_format.value,
            force=force,
            verify=not no_verify,
            batches=batches,
            progress=progress,
            **wishes(),
        )
    from onnxsplit.reporting import bundle_report  # noqa: PLC0415 - likewise

    report = bundle_report.BundleReport(
        folder=bundle.folder, manifest=bundle.manifest, plan=bundle.plan, parity=bundle.parity
    )
    terminal.show(report.page(), report.document())
    if bundle.parity is not None and not bundle.parity.passed:
        raise typer.Exit(1)
