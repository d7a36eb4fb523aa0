"""``onnxsplit inspect``."""

import typer

from onnxsplit.cli import options
from onnxsplit.cli.arguments import parse_dims, parse_shapes
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def inspect(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: options.Model,
    *,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    inputs: options.Inputs = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show operators, sizes, blocks, cut points, and what can't be cut and why."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import inspection  # noqa: PLC0415 - help must not load it

        found = inspection.inspect(
            model,
            shapes=parse_shapes(shape),
            dims=parse_dims(dim),
            inputs=inputs,
            progress=progress,
        )
    from onnxsplit.reporting import inspection_report  # noqa: PLC0415 - likewise

    document = found.to_json()
    terminal.show(inspection_report.describe_inspection(document, model=model), document)
