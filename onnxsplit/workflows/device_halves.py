"""Open the device's half of a bundle: its stage, its connections, and what to fall back to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.errors import BundleError, ChecksumMismatchError, UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, name_bundle
from onnxsplit.model.loading import ModelSource, load_model
from onnxsplit.model.merging import merge_stages
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.device_half import (
    DEFAULT_DEADLINE_SECONDS,
    Chooser,
    DeviceHalf,
    Fallback,
)
from onnxsplit.runtime.messages import ModelMetadata
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.runtime.served_stages import StageOptions
from onnxsplit.runtime.session_models import SessionModel
from onnxsplit.runtime.split_cuts import SplitCut, open_cut
from onnxsplit.runtime.transports import choose_transport

ALL_DEVICE = "all-device"

Watch = Callable[[RemoteHalf], Callable[[], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How a device half reaches its server, and what it does without.

    Parameters
    ----------
    name : str or None
        The name under which the server half is served; the folder's without ``.split`` if None.
    cut : str or None
        Which of a bundle's cuts; if None that which the bundle itself describes.
    fallback : str or None
        ``device`` runs the whole model here while the server is away, ``error`` fails. If None,
        ``device`` where the whole model is at hand.
    model : path, bytes or onnx.ModelProto, optional
        The whole model; else it is merged from the bundle's stages, if all are here.
    depth : int
        Requests that may travel at once.
    deadline_seconds : float or None
        For each run.
    security : ClientSecurity
    compress : bool
        Let bodies travel compressed, where the server takes that.
    engine : EngineOptions
        How the device runs its stage.
    """

    name: str | None = None
    cut: str | None = None
    fallback: Fallback | None = None
    model: ModelSource | None = None
    depth: int = 1
    deadline_seconds: float | None = DEFAULT_DEADLINE_SECONDS
    security: ClientSecurity = field(default_factory=ClientSecurity)
    compress: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        """Refuse a depth and a deadline that let nothing run."""
        if self.depth < 1:
            raise UsageError(f"The depth is {self.depth}; give at least 1.")
        if self.deadline_seconds is not None and not self.deadline_seconds > 0:
            raise UsageError(f"The deadline is {self.deadline_seconds} s; it must be positive.")


def choose_engine(threads: int | None, provider: str | None) -> EngineOptions:
    """Return how the device runs its stage."""
    return EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0)


def open_half(
    bundle: StoredBundle,
    url: str,
    options: ConnectOptions,
    *,
    cuts: list[str],
    chooser: Chooser | None = None,
    watch: Watch | None = None,
) -> DeviceHalf:
    """Open some cuts of a bundle.

    Parameters
    ----------
    bundle : StoredBundle
    url : str
    options : ConnectOptions
    cuts : list of str
        Names; the empty one is what the bundle itself describes.
    chooser : Chooser, optional
        Chooses among them.
    watch : callable, optional
        Begins to watch the link on a connection of the half, and returns what ends that.

    Raises
    ------
    OnnxSplitError
        As of `onnxsplit.workflows.connecting.connect`.
    """
    base = options.name or name_bundle(bundle.folder)
    make_transport = choose_transport(url, options.security, compress=options.compress)
    opened: dict[str, SplitCut] = {}
    try:
        for cut in cuts:
            opened[cut] = _open(bundle, cut, base, options)
        _check_states(opened, depth=options.depth, adapts=chooser is not None)
        load_whole = _find_whole(bundle, options)
    except BaseException:
        for done in opened.values():
            done.close()
        raise
    remote = RemoteHalf(make_transport, connections=options.depth)
    return DeviceHalf(
        opened,
        remote,
        chooser=chooser,
        load_whole=load_whole,
        deadline_seconds=options.deadline_seconds,
        stop_watching=None if watch is None else watch(remote),
    )


def _open(bundle: StoredBundle, cut: str, base: str, options: ConnectOptions) -> SplitCut:
    """Open one cut."""
    manifest = bundle.manifest.at_cut(cut) if cut else replace(bundle.manifest, cuts=())
    return open_cut(
        bundle,
        manifest,
        cut=cut,
        model=f"{base}-{cut}" if cut else base,
        options=StageOptions(engine=options.engine, sequences=1, sequence_seconds=float("inf")),
        open_session=open_session,
    )


def _check_states(cuts: Mapping[str, SplitCut], *, depth: int, adapts: bool) -> None:
    """Refuse several runs at a time, or at several cuts, where each needs the one before."""
    if not any(cut.has_states for cut in cuts.values()):
        return
    if depth > 1:
        raise UsageError(
            "The model keeps states, so that each run needs the one before; leave out --depth."
        )
    if adapts:
        raise UsageError(
            "The model keeps states, which do not move from one cut to another; leave out"
            " --adaptive, and choose a cut by --cut-id."
        )


def _find_whole(bundle: StoredBundle, options: ConnectOptions) -> Callable[[], SplitCut] | None:
    """Find the whole model to fall back to; it is loaded when it is first needed."""
    if options.fallback == "error":
        return None
    manifest = bundle.manifest
    if options.model is not None:
        content, base_folder = _read_model(options.model, manifest)
        return lambda: _open_whole(content, base_folder, manifest, options)
    missing = [s.file for s in manifest.stages if not (bundle.folder / s.file).is_file()]
    if any(cut.id == ALL_DEVICE for cut in manifest.cuts):
        return lambda: _open(bundle, ALL_DEVICE, "", options)
    if not missing:
        return lambda: _merge(bundle, options)
    if options.fallback == "device":
        raise BundleError(
            f"Falling back to the device needs the whole model, and {bundle.folder} lacks"
            f" {missing[0]}; copy it there, give --model, or give --fallback error."
        )
    return None


def _read_model(model: ModelSource, manifest: Manifest) -> tuple[bytes, Path | None]:
    """Read the whole model, which must be the one that was cut."""
    loaded = load_model(model)
    if loaded.identity.sha256 != manifest.model.get("sha256"):
        raise ChecksumMismatchError(
            "The model given with --model is not the one that the bundle was cut from; give that."
        )
    return loaded.proto.SerializeToString(), loaded.base_folder


def _merge(bundle: StoredBundle, options: ConnectOptions) -> SplitCut:
    """Put the stages together and open what they make."""
    merged = merge_stages(bundle.folder, bundle.manifest)
    return _open_whole(merged.SerializeToString(), bundle.folder, bundle.manifest, options)


def _open_whole(
    content: bytes, base_folder: Path | None, manifest: Manifest, options: ConnectOptions
) -> SplitCut:
    """Open the whole model as a cut that leaves nothing to others."""
    session = open_session(content, options.engine, base_folder=base_folder)
    metadata = ModelMetadata(name="whole", inputs=session.inputs, outputs=session.outputs)
    return SplitCut(
        id="",
        manifest=manifest,
        local=SessionModel(session, metadata),
        remote=None,
        outputs=tuple(spec["name"] for spec in manifest.model["outputs"]),
        has_states=False,
    )
