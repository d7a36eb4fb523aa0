"""``serve``: stages of bundles behind the Open Inference Protocol."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions, Runtime
from onnxsplit.errors import UsageError
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.http_server import HttpOptions, HttpServer, is_loopback
from onnxsplit.runtime.running_server import RunningServer, Server
from onnxsplit.runtime.served_stages import StageOptions
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from onnxsplit.runtime.tls import TlsFiles
from onnxsplit.workflows.served_bundles import NextServer, load_bundles, prepare_relay
from onnxsplit.workflows.served_trainings import load_trainings
from onnxsplit.workflows.stage_services import choose_room, open_service

DEFAULT_REQUEST_BYTES = HttpLimits().request_bytes
_BODIES_AT_A_TIME = 4


def serve(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    names: Sequence[str] = (),
    training: bool = False,
    tier: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    grpc_port: int | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_client_ca: str | os.PathLike[str] | None = None,
    token: str | None = None,
    max_request_bytes: int = DEFAULT_REQUEST_BYTES,
    queue: int = ServiceOptions().queue,
    workers: int | None = None,
    threads: int | None = None,
    provider: str | None = None,
    runtime: Runtime | None = None,
    next_server: NextServer | None = None,
    sequences: int = StageOptions(engine=EngineOptions()).sequences,
    sequence_seconds: float = StageOptions(engine=EngineOptions()).sequence_seconds,
    drain_seconds: float = 30.0,
    progress: Progress | None = None,
) -> RunningServer:
    """Serve the stages of bundles until the result is stopped.

    Parameters
    ----------
    folders : path or sequence of paths
        What `cut` wrote. Of a bundle of several cuts, each is served, under the bundle's name, a
        hyphen and the cut's.
    names : sequence of str
        One for each bundle; the folders' names without ``.split`` if empty.
    training : bool
        Also hold the server's half of each bundle's training, which changes with every step.
    tier : str, optional
        Whose stage is served; the last one's if not given.
    host, port
        Where to listen; port 0 takes any that is free.
    grpc_port : int, optional
        Speak gRPC on this port as well (extra ``grpc``).
    tls_cert, tls_key, tls_client_ca : path, optional
        Speak HTTPS, and perhaps ask clients for certificates that this authority signed.
    token : str, optional
        Bearer token that requests must show.
    max_request_bytes : int
        Larger bodies are refused.
    queue : int
        Requests that may wait; more are refused.
    workers : int, optional
        Requests that run at a time; the number of cores, and at least 2, if not given.
    threads, provider, runtime
        How the stages are run; by default with the threads that their manifest recommends, on what
        they were cut for.
    next_server : NextServer, optional
        Where stages that are not the last of their chain forward what they make.
    sequences, sequence_seconds
        How many sequences a stage with states keeps, and how long one may rest.
    drain_seconds : float
        How long what was begun may take when the server is stopped.
    progress : Progress, optional

    Returns
    -------
    RunningServer
        Ready for requests; also a context manager that stops it.

    Raises
    ------
    UsageError
        An option is wrong, the address is taken, or an extra is not installed.
    BundleError
        A bundle is malformed, or a file is not the one that was written.
    ModelError
        A stage can't be loaded, or takes or gives what can't travel.
    """
    progress = progress or SilentProgress()
    options = HttpOptions(
        host=host,
        port=port,
        tls=_read_tls(tls_cert, tls_key, tls_client_ca),
        token=_check_token(token),
        limits=HttpLimits(
            request_bytes=max_request_bytes, waiting_bytes=max_request_bytes * _BODIES_AT_A_TIME
        ),
    )
    stages = StageOptions(
        engine=EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0),
        runtime=runtime,
        sequences=sequences,
        sequence_seconds=sequence_seconds,
    )
    room = choose_room(workers=workers, queue=queue)
    relay = prepare_relay(next_server, room.workers)
    with ExitStack() as stack:
        models = load_bundles(folders, names, tier, stages, relay, progress)
        if training:
            models = chain(models, load_trainings(folders, names, stages.engine, progress))
        service = stack.enter_context(open_service(models, room))
        servers: list[Server] = [stack.enter_context(HttpServer(service, options))]
        if grpc_port is not None:
            servers.append(_open_grpc(service, options, grpc_port))
        stack.pop_all()
    return RunningServer(service, servers, notes=list(_note(options)), drain_seconds=drain_seconds)


def _open_grpc(service: InferenceService, options: HttpOptions, port: int) -> Server:
    """Speak gRPC with the same address, certificates, token and limits."""
    from onnxsplit.runtime.grpc_server import GrpcOptions, GrpcServer  # noqa: PLC0415 - an extra

    return GrpcServer(
        service,
        GrpcOptions(
            host=options.host,
            port=port,
            tls=options.tls,
            token=options.token,
            message_bytes=options.limits.request_bytes,
        ),
    )


def _read_tls(
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    client_authority: str | os.PathLike[str] | None,
) -> TlsFiles | None:
    """Read the certificates, if there are any."""
    if certificate is None and key is None and client_authority is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs both --tls-cert and --tls-key.")
    return TlsFiles(
        certificate=Path(certificate),
        key=Path(key),
        client_authority=None if client_authority is None else Path(client_authority),
    )


def _check_token(token: str | None) -> str | None:
    """Refuse a token that can't stand in a header, or that anybody guesses."""
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise UsageError("The token must be printable ASCII, and not empty.")
    return token


def _note(options: HttpOptions) -> Iterator[str]:
    """Say what is open to others."""
    if is_loopback(options.host):
        return
    asks = options.token is not None or (options.tls is not None and options.tls.client_authority)
    if not asks:
        yield (
            f"Whoever reaches {options.host} can use this server; give --token-file or"
            " --tls-client-ca to ask who they are."
        )
    if options.tls is None:
        yield "What travels is not encrypted; give --tls-cert and --tls-key."
