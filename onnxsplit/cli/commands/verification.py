"""``onnxsplit verify``."""

import typer

from onnxsplit.cli import options, runtime_options
from onnxsplit.cli.arguments import parse_dims, parse_shapes
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def verify(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    folder: options.Folder,
    *,
    model: options.WholeModel = None,
    inputs: options.Inputs = None,
    batches: options.Batches = options.DEFAULT_BATCHES,
    seed: options.Seed = 0,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    threads: options.Threads = None,
    provider: options.Provider = None,
    device_runtime: runtime_options.DeviceRuntime = None,
    server_runtime: runtime_options.ServerRuntime = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run the stages of a bundle against the whole model; exit 1 if they differ."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import verification  # noqa: PLC0415 - help must not load it

        result = verification.verify(
            folder,
            model=model,
            inputs=inputs,
            batches=batches,
            seed=seed,
            shapes=parse_shapes(shape),
            dims=parse_dims(dim),
            threads=threads,
            provider=provider,
            device_runtime=None if device_runtime is None else device_runtime.value,
            server_runtime=None if server_runtime is None else server_runtime.value,
            progress=progress,
        )
    from onnxsplit.reporting.parity_report import describe_parity  # noqa: PLC0415 - likewise

    terminal.show(describe_parity(result), result.to_json())
    if not result.passed:
        raise typer.Exit(1)
