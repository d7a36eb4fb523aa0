"""``serve``: stages of bundles behind the Open Inference Protocol."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsplit.engines.environment import count_cores
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions, Session
from onnxsplit.errors import UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, name_bundle, read_bundle
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.http_server import HttpOptions, HttpServer, is_loopback
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.running_server import RunningServer, Server
from onnxsplit.runtime.served_probe import load_probe
from onnxsplit.runtime.served_stages import OpenSession, StageOptions, choose_stage, load_stage
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from onnxsplit.runtime.tls import TlsFiles

DEFAULT_REQUEST_BYTES = HttpLimits().request_bytes
_BODIES_AT_A_TIME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A stage that will be served, by its bundle and its cut."""

    name: str
    bundle: StoredBundle


def serve(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    names: Sequence[str] = (),
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
    threads, provider
        How the stages are run; by default with the threads that their manifest recommends.
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
        sequences=sequences,
        sequence_seconds=sequence_seconds,
    )
    room = ServiceOptions(
        workers=max(2, count_cores()) if workers is None else workers, queue=queue
    )
    with ExitStack() as stack:
        models: list[ServedModel] = []
        open_once = _open_each_once()
        for candidate in _list_candidates(folders, names, tier):
            progress.report(f"loading {candidate.name}")
            models.append(_load(candidate, tier, stages, open_once))
            stack.callback(models[-1].close)
        models.append(load_probe(open_session))
        service = stack.enter_context(InferenceService(ModelRepository(models), room))
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


def _load(
    candidate: _Candidate, tier: str | None, options: StageOptions, open_once: OpenSession
) -> ServedModel:
    """Load one stage."""
    stage = choose_stage(candidate.bundle, tier)
    return load_stage(
        candidate.bundle, stage, name=candidate.name, options=options, open_session=open_once
    )


def _open_each_once() -> OpenSession:
    """Return what opens a file once; a bundle's own stage is that of one of its cuts as well."""
    sessions: dict[bytes | Path, Session] = {}

    def open_once(model: bytes | Path, options: EngineOptions) -> Session:
        if model not in sessions:
            sessions[model] = open_session(model, options)
        return sessions[model]

    return open_once


def _list_candidates(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    tier: str | None,
) -> list[_Candidate]:
    """Name what will be served; every cut of a bundle of several that has something to serve."""
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    if not given:
        raise UsageError("Give at least one folder that `onnxsplit cut` wrote.")
    if names and len(names) != len(given):
        raise UsageError(f"{len(names)} names are given for {len(given)} bundles; name each.")
    bundles = [read_bundle(Path(folder)) for folder in given]
    chosen = list(names) or [name_bundle(bundle.folder) for bundle in bundles]
    candidates = []
    for name, bundle in zip(chosen, bundles, strict=True):
        found = list(_list_cuts(name, bundle, tier))
        if not found:
            raise UsageError(
                f"{bundle.folder} has no stage for a server, only the device's; name the stage to"
                " serve by --tier."
            )
        candidates += found
    return candidates


def _list_cuts(name: str, bundle: StoredBundle, tier: str | None) -> Iterator[_Candidate]:
    """Name a bundle's own stage, and that of each of its cuts."""
    views = {name: replace(bundle.manifest, cuts=())}
    for cut in bundle.manifest.cuts:
        views[f"{name}-{cut.id}"] = bundle.manifest.at_cut(cut.id)
    for label, manifest in views.items():
        if _has_stage(manifest, tier) or (tier is not None and not bundle.manifest.cuts):
            yield _Candidate(name=label, bundle=replace(bundle, manifest=manifest))


def _has_stage(manifest: Manifest, tier: str | None) -> bool:
    """Tell whether there is something to serve: a stage of the tier, or one beyond the first."""
    tiers = [stage.tier for stage in manifest.stages]
    if tier is not None:
        return tier in tiers
    first = next(iter(manifest.plan.get("tiers", ())), None)
    return bool(tiers) and tiers[-1] != first


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
