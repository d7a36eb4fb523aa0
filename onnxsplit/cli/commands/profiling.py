"""``onnxsplit profile``."""

import typer

from onnxsplit.cli import options
from onnxsplit.cli.arguments import parse_dims, parse_shapes
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def profile(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    output: options.OutputProfile = None,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    inputs: options.Inputs = None,
    tier: options.Tier = "device",
    budget: options.Budget = options.DEFAULT_BUDGET,
    threads: options.Threads = None,
    provider: options.Provider = None,
    no_cache: options.NoCache = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure what each operator of a model costs on this machine.

    Run it on each target; the file is what `plan` and `cut` take as --device and --server.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import profiling  # noqa: PLC0415 - help must not load it

        measured = profiling.profile(
            model,
            output,
            shapes=parse_shapes(shape),
            dims=parse_dims(dim),
            inputs=inputs,
            tier=tier,
            threads=threads,
            provider=provider,
            cache=not no_cache,
            budget=budget,
            progress=progress,
        )
    from onnxsplit.reporting.profile_report import describe_profile  # noqa: PLC0415 - likewise

    terminal.show(describe_profile(measured, model=model, output=output), measured.to_json())
