"""``onnxsplit export``."""

import typer

from onnxsplit.cli import export_options, options, server_options
from onnxsplit.cli.export_options import AcceleratorName
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def export(  # noqa: PLR0913 - one parameter for each option
    context: typer.Context,
    folders: server_options.Folders,
    *,
    to: export_options.To,
    output: export_options.OutputRepository,
    name: server_options.Names = None,
    tier: server_options.Tier = None,
    accelerator: export_options.Accelerator = AcceleratorName.CPU,
    instances: export_options.Instances = 1,
    max_batch: export_options.MaxBatch = export_options.DEFAULT_MAX_BATCH,
    dynamic_batching: export_options.DynamicBatching = False,
    storage_uri: export_options.StorageUri = None,
    force: options.Force = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a repository for Triton, KServe, OpenVINO Model Server or Ray Serve."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import exports  # noqa: PLC0415 - help must not load it

        written = exports.export(
            folders,
            output,
            to=to.value,
            names=tuple(name or ()),
            tier=tier,
            accelerator=accelerator.value,
            instances=instances,
            max_batch=max_batch,
            dynamic_batching=dynamic_batching,
            storage_uri=storage_uri,
            force=force,
            progress=progress,
        )
    from onnxsplit.reporting.export_report import describe_export, export_document  # noqa: PLC0415 - likewise

    terminal.show(
        describe_export(written.folder, written.document),
        export_document(written.folder, written.document),
    )
