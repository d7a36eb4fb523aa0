"""``onnxsplit frontier``."""

import typer

from onnxsplit.cli import answer_options, options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.planning_options import GatherWishes, with_planning_options
from onnxsplit.cli.terminal import Terminal


@with_planning_options
def frontier(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    wishes: GatherWishes,
    require_split: answer_options.RequireSplit = False,
    two_dimensional: answer_options.TwoDimensional = False,
    svg: answer_options.Svg = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the best cut for every bandwidth, with the exact rates at which it changes.

    Of the link, the ratio of its rates and the round trip count.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import frontiers  # noqa: PLC0415 - help must not load it

        found = frontiers.frontier(
            model,
            require_split=require_split,
            two_dimensional=two_dimensional,
            svg=svg,
            progress=progress,
            **wishes(),
        )
    from onnxsplit.reporting import frontier_report  # noqa: PLC0415 - likewise

    terminal.show(frontier_report.describe_frontier(found), found.to_json())
