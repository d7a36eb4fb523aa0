"""Bundles on their way to a server: which stages of them, under which names, relayed or not."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Session
from onnxsplit.errors import UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, name_bundle, read_bundle
from onnxsplit.progress import Progress
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.relays import RelayedModel, find_route
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.runtime.served_stages import OpenSession, StageOptions, choose_stage, load_stage
from onnxsplit.runtime.transports import choose_transport
from onnxsplit.stage_entries import StageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class NextServer:
    """Where a relay forwards to.

    Parameters
    ----------
    url : str
        ``http://host:8000`` and the like.
    name : str or None
        The rest of the chain's name there; the name under which it is served here if None.
    security : ClientSecurity
    timeout_seconds : float
        For its answer.
    """

    url: str
    name: str | None = None
    security: ClientSecurity = field(default_factory=ClientSecurity)
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A stage that will be served, by its bundle and its cut."""

    name: str
    bundle: StoredBundle
    label: str = ""
    """What its name has besides that of its bundle."""


Relay = Callable[[ServedModel, Manifest, StageEntry, "Candidate"], ServedModel]


def load_bundles(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    tier: str | None,
    options: StageOptions,
    relay: Relay | None,
    progress: Progress,
) -> Iterator[ServedModel]:
    """Load what is served of some bundles, one after the other; the caller closes it.

    Parameters
    ----------
    folders : path or sequence of paths
    names : sequence of str
        One for each bundle, or none.
    tier : str or None
    options : StageOptions
    relay : callable or None
        Makes relays of stages that are not the last of their chain.
    progress : Progress

    Raises
    ------
    UsageError
        Names or the tier do not suit the bundles.
    BundleError
        A bundle is malformed, or a file is not the one that was written.
    ModelError
        A stage can't be loaded, or takes or gives what can't travel.
    """
    open_once = _open_each_once()
    for candidate in _list_candidates(folders, names, tier):
        progress.report(f"loading {candidate.name}")
        yield _load(candidate, tier, options, open_once, relay)


def _load(
    candidate: Candidate,
    tier: str | None,
    options: StageOptions,
    open_once: OpenSession,
    relay: Relay | None,
) -> ServedModel:
    """Load one stage, as a relay if there are others beyond it and a server for them."""
    bundle = candidate.bundle
    stage = choose_stage(bundle, tier)
    model = load_stage(bundle, stage, name=candidate.name, options=options, open_session=open_once)
    return model if relay is None else relay(model, bundle.manifest, stage, candidate)


def prepare_relay(server: NextServer | None, connections: int) -> Relay | None:
    """Return what makes relays, if there is a server to forward to.

    Parameters
    ----------
    server : NextServer or None
    connections : int
        Requests that may travel to it at a time.

    Raises
    ------
    UsageError
        No transport speaks its URL.
    """
    if server is None:
        return None
    make_transport = choose_transport(server.url, server.security)

    def relay(
        own: ServedModel, manifest: Manifest, stage: StageEntry, candidate: Candidate
    ) -> ServedModel:
        name = candidate.name if server.name is None else f"{server.name}{candidate.label}"
        route = find_route(manifest, stage, own.metadata, next_model=name)
        if route is None:
            raise UsageError(
                f"The stage of {stage.tier!r} of {candidate.bundle.folder} is the last of its"
                " chain; leave out --next, or serve another by --tier."
            )
        remote = RemoteHalf(make_transport, connections=connections)
        return RelayedModel(own, remote, route, timeout_seconds=server.timeout_seconds)

    return relay


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
) -> list[Candidate]:
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


def _list_cuts(name: str, bundle: StoredBundle, tier: str | None) -> Iterator[Candidate]:
    """Name a bundle's own stage, and that of each of its cuts."""
    views = {"": replace(bundle.manifest, cuts=())}
    for cut in bundle.manifest.cuts:
        views[f"-{cut.id}"] = bundle.manifest.at_cut(cut.id)
    for label, manifest in views.items():
        if _has_stage(manifest, tier) or (tier is not None and not bundle.manifest.cuts):
            yield Candidate(
                name=f"{name}{label}", bundle=replace(bundle, manifest=manifest), label=label
            )


def _has_stage(manifest: Manifest, tier: str | None) -> bool:
    """Tell whether there is something to serve: a stage of the tier, or one beyond the first."""
    tiers = [stage.tier for stage in manifest.stages]
    if tier is not None:
        return tier in tiers
    first = next(iter(manifest.plan.get("tiers", ())), None)
    return bool(tiers) and tiers[-1] != first
