"""``onnxsplit run``."""

import sys

import typer

from onnxsplit.cli import options, server_options, serving_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal
from onnxsplit.units import parse_duration

DEFAULT_DEADLINE = "30s"


def run(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    folder: options.Folder,
    *,
    server: serving_options.Server,
    inputs: serving_options.RunInputs,
    output: serving_options.RunOutput = None,
    repeat: serving_options.Repeat = 1,
    depth: serving_options.Depth = 1,
    when_full: serving_options.WhenFull = serving_options.WhenFullName.BLOCK,
    adaptive: serving_options.Adaptive = False,
    every: serving_options.Every = None,
    deadline: serving_options.Deadline = DEFAULT_DEADLINE,
    fallback: serving_options.Fallback = None,
    model: options.WholeModel = None,
    served_name: serving_options.ServedName = None,
    cut_id: serving_options.Cut = None,
    tls_ca: serving_options.Authorities = None,
    tls_cert: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    token_file: server_options.TokenFile = None,
    compress: serving_options.Compress = False,
    threads: options.Threads = None,
    provider: options.Provider = None,
    force: options.Force = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run the device half here and the server half there, and say what each part took.

    Inputs are an .npz file with arrays NAME, or NAME@0, NAME@1, ... for several sets; a folder of
    such files, taken by name; or - for such a file from a pipe. Outputs are written likewise.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    pipe = sys.stdout.buffer
    with terminal.working() as progress:
        from onnxsplit.workflows import connecting, device_halves, running  # noqa: PLC0415 - help must not load it
        from onnxsplit.workflows.run_inputs import RunInputs, find_source  # noqa: PLC0415 - likewise
        from onnxsplit.workflows.run_outputs import RunOutputs  # noqa: PLC0415 - likewise

        source = RunInputs(
            source=find_source(inputs),
            pipe=sys.stdin.buffer,
            repeat=repeat,
            every_seconds=parse_duration(every) if every else 0.0,
        )
        kept = None if output is None else RunOutputs(target=output, pipe=pipe, force=force)
        report = running.run_bundle(
            folder,
            server,
            source,
            device_halves.ConnectOptions(
                name=served_name,
                cut=cut_id,
                fallback=None if fallback is None else fallback.value,
                model=model,
                depth=depth,
                deadline_seconds=parse_duration(deadline),
                security=connecting.read_security(
                    authorities=tls_ca, certificate=tls_cert, key=tls_key, token_file=token_file
                ),
                compress=compress,
                engine=device_halves.choose_engine(threads, provider),
            ),
            when_full=when_full.value,
            adaptive=adaptive,
            take=None if kept is None else kept.add,
            progress=progress,
        )
        if kept is not None:
            kept.write(is_sequence=len(report.traces) > 1)
    from onnxsplit.reporting.run_report import describe_run  # noqa: PLC0415 - likewise

    page = describe_run(
        report.summary,
        predicted_seconds=report.predicted_seconds,
        predicted_parts=report.predicted_parts,
        problems=report.problems,
        switches=report.switches,
        notes=report.notes,
    )
    terminal.show(page, report.to_json(), aside=output == "-")
