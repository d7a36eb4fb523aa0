"""``onnxsplit simulate``."""

import typer

from onnxsplit.cli import answer_options, options, simulation_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def simulate(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    scenario: simulation_options.Scenario,
    *,
    seeds: simulation_options.Seeds = None,
    overrides: simulation_options.Overrides = None,
    csv: simulation_options.Csv = None,
    plot: simulation_options.Plot = None,
    timings: answer_options.Timings = False,
    no_cache: options.NoCache = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Simulate training or inference over a dynamic edge network, against the baselines."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import simulating  # noqa: PLC0415 - help must not load it

        result = simulating.simulate(
            scenario,
            seeds=seeds,
            overrides=overrides or (),
            csv=csv,
            plot=plot,
            cache=not no_cache,
            progress=progress,
        )
    from onnxsplit.reporting import simulation_report  # noqa: PLC0415 - likewise

    terminal.show(simulation_report.describe_simulation(result), result.to_json(timings=timings))
