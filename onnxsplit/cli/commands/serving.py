"""``onnxsplit serve``."""

import os
import signal

import typer

from onnxsplit.cli import options, runtime_options, server_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal
from onnxsplit.units import parse_duration, parse_size

_UNFINISHED = 1


def serve(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    folders: server_options.Folders,
    *,
    name: server_options.Names = None,
    training: server_options.Training = False,
    tier: server_options.Tier = None,
    host: server_options.Host = server_options.DEFAULT_HOST,
    port: server_options.Port = server_options.DEFAULT_PORT,
    grpc_port: server_options.GrpcPort = None,
    tls_cert: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    tls_client_ca: server_options.TlsClientAuthority = None,
    token_file: server_options.TokenFile = None,
    max_request_bytes: server_options.MaxRequestBytes = server_options.DEFAULT_REQUEST_BYTES,
    queue: server_options.Queue = server_options.DEFAULT_QUEUE,
    workers: server_options.Workers = None,
    next_url: server_options.Next = None,
    next_name: server_options.NextName = None,
    next_timeout: server_options.NextTimeout = server_options.DEFAULT_NEXT_TIMEOUT,
    next_token_file: server_options.NextTokenFile = None,
    next_tls_ca: server_options.NextAuthorities = None,
    next_tls_cert: server_options.NextCertificate = None,
    next_tls_key: server_options.NextKey = None,
    max_sequences: server_options.MaxSequences = server_options.DEFAULT_SEQUENCES,
    sequence_expiry: server_options.SequenceExpiry = server_options.DEFAULT_EXPIRY,
    drain: server_options.Drain = server_options.DEFAULT_DRAIN,
    threads: options.Threads = None,
    provider: options.Provider = None,
    runtime: runtime_options.Runtime = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Serve the server half by the Open Inference Protocol, until SIGTERM or Ctrl-C."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.runtime.client_security import read_token  # noqa: PLC0415 - help must not load it
        from onnxsplit.workflows import serving  # noqa: PLC0415 - likewise
        from onnxsplit.workflows.connecting import read_security  # noqa: PLC0415 - likewise
        from onnxsplit.workflows.served_bundles import NextServer  # noqa: PLC0415 - likewise

        following = None
        if next_url is not None:
            following = NextServer(
                url=next_url,
                name=next_name,
                security=read_security(
                    authorities=next_tls_ca,
                    certificate=next_tls_cert,
                    key=next_tls_key,
                    token_file=next_token_file,
                ),
                timeout_seconds=parse_duration(next_timeout),
            )
        server = serving.serve(
            folders,
            names=tuple(name or ()),
            training=training,
            tier=tier,
            host=host,
            port=port,
            grpc_port=grpc_port,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            token=None if token_file is None else read_token(token_file),
            max_request_bytes=parse_size(max_request_bytes),
            queue=queue,
            workers=workers,
            threads=threads,
            provider=provider,
            runtime=None if runtime is None else runtime.value,
            next_server=following,
            sequences=max_sequences,
            sequence_seconds=parse_duration(sequence_expiry),
            drain_seconds=parse_duration(drain),
            progress=progress,
        )
    from onnxsplit.reporting.server_report import describe_server, server_document  # noqa: PLC0415 - likewise

    try:
        told = server_document(server.urls, server.models, server.notes)
        terminal.announce(describe_server(server.urls, server.models, server.notes), told)
        ended_by = server.wait()
    finally:
        finished = server.stop()
    if not finished:
        _leave_behind(terminal, drain)
    if ended_by is signal.SIGINT:
        raise KeyboardInterrupt


def _leave_behind(terminal: Terminal, drain: str) -> None:
    """Tell that requests were not finished, and end without waiting for them as Python would."""
    message = f"Not all requests could be finished within {drain} (--drain)."
    terminal.complain(kind="DrainTimeout", message=message, exit_code=_UNFINISHED)
    os._exit(_UNFINISHED)
