"""``onnxsplit plan``."""

import typer

from onnxsplit.cli import answer_options, options, placement_options
from onnxsplit.cli.arguments import parse_tensor_names
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.planning_options import GatherWishes, with_planning_options
from onnxsplit.cli.terminal import Terminal


@with_planning_options
def plan(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    wishes: GatherWishes,
    cut_at: placement_options.CutAt = None,
    placement: answer_options.PlacementFile = None,
    require_split: answer_options.RequireSplit = False,
    timings: answer_options.Timings = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the best placement and what it costs, and write nothing.

    The true optimum, be it a split or not; with profiles for both sides it needs no weights.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import planning  # noqa: PLC0415 - help must not load it

        made = planning.plan(
            model,
            cut_at=parse_tensor_names(cut_at),
            placement=placement,
            require_split=require_split,
            progress=progress,
            **wishes(),
        )
    from onnxsplit.reporting import plan_report  # noqa: PLC0415 - likewise

    terminal.show(plan_report.describe_plan(made), plan_report.plan_document(made, timings=timings))
