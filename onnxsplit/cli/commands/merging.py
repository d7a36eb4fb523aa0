"""``onnxsplit merge``."""

import hashlib

import typer

from onnxsplit.cli import options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def merge(
    context: typer.Context,
    folder: options.Folder,
    *,
    output: options.OutputModel,
    force: options.Force = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Put the stages of a bundle back together."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import merging  # noqa: PLC0415 - help must not load it

        merged = merging.merge(folder, output, force=force, progress=progress)
    from onnxsplit.reporting.merge_report import describe_merge, merge_document  # noqa: PLC0415 - likewise

    with merged.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    terminal.show(describe_merge(merged, sha256=digest), merge_document(merged, sha256=digest))
