"""Stages of a bundle, as a server serves them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsplit.engines.port import EngineOptions, Runtime, Session, read_runtime
from onnxsplit.errors import BundleError, UnsupportedModelError, UsageError, suggest
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, check_files
from onnxsplit.runtime.datatypes import name_datatype
from onnxsplit.runtime.messages import ModelMetadata, Parameter
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.sequences import SequenceStore
from onnxsplit.runtime.session_models import SessionModel
from onnxsplit.runtime.stateful_models import ResidentState, StatefulModel
from onnxsplit.stage_entries import StageEntry

OpenSession = Callable[[bytes | Path, EngineOptions], Session]
"""Loads a model, or its file, into an engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """How stages are served.

    Parameters
    ----------
    engine : EngineOptions
        Threads of 0 stand for what the manifest recommends.
    runtime : str or None
        What runs the stages; what they were cut for if None. That of `engine` does not count.
    sequences : int
        Sequences that a stage with states keeps at a time.
    sequence_seconds : float
        How long one may rest.

    Raises
    ------
    UsageError
        A limit is not positive.
    """

    engine: EngineOptions
    runtime: Runtime | None = None
    sequences: int = 64
    sequence_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse limits that let nothing pass."""
        for name in ("sequences", "sequence_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be positive.")


def choose_stage(bundle: StoredBundle, tier: str | None) -> StageEntry:
    """Return the stage of a tier; without one, the last stage.

    Raises
    ------
    UsageError
        The bundle has no stage of that tier.
    """
    stages = {stage.tier: stage for stage in bundle.manifest.stages}
    if tier is None:
        return bundle.manifest.stages[-1]
    if tier not in stages:
        raise UsageError(
            f"{bundle.folder} has no stage of the tier {tier!r}. {suggest(tier, stages)}"
        )
    return stages[tier]


def load_stage(
    bundle: StoredBundle,
    stage: StageEntry,
    *,
    name: str,
    options: StageOptions,
    open_session: OpenSession,
) -> ServedModel:
    """Load a stage, and make it answer requests.

    Parameters
    ----------
    bundle : StoredBundle
        Of its files, only those of this stage need be there.
    stage : StageEntry
    name : str
        Under which it is served.
    options : StageOptions
    open_session : callable
        Loads a file of a model into an engine.

    Raises
    ------
    BundleError
        A file is missing or not the one that was written, or does not take and give what the
        manifest says.
    UnsupportedModelError
        An input or output can't travel.
    ModelError
        The engine can't load it.
    """
    check_files(bundle.folder, replace(bundle.manifest, stages=(stage,)))
    metadata = describe_stage(bundle.manifest, stage, name=name)
    engine = options.engine
    engine = replace(engine, threads=engine.threads or stage.threads or 0)
    engine = engine.on(options.runtime or read_runtime(stage.runtime))
    session = open_session(bundle.folder / stage.runnable_file, engine)
    try:
        _check_session(session, stage)
    except BundleError:
        session.close()
        raise
    model = SessionModel(session, metadata)
    states = find_states(bundle.manifest, stage.tier)
    if not states:
        return model
    store = SequenceStore(limit=options.sequences, expiry_seconds=options.sequence_seconds)
    return StatefulModel(model, states, store)


def describe_stage(manifest: Manifest, stage: StageEntry, *, name: str) -> ModelMetadata:
    """Say what a stage takes and gives, and which half of what it is.

    Raises
    ------
    UnsupportedModelError
        An input or output can't travel.
    """
    for spec in (*stage.inputs, *stage.outputs):
        _check_travels(stage, spec)
    return ModelMetadata(
        name=name,
        inputs=stage.inputs,
        outputs=stage.outputs,
        parameters=find_facts(manifest, stage),
    )


def find_facts(manifest: Manifest, stage: StageEntry) -> dict[str, Parameter]:
    """Return what tells a stage from all others: ``model_sha256``, ``stage_sha256``, ``tier``."""
    sha256 = manifest.model.get("sha256")
    return {
        **({"model_sha256": sha256} if isinstance(sha256, str) else {}),
        "stage_sha256": stage.fingerprint,
        "tier": stage.tier,
    }


def find_states(manifest: Manifest, tier: str) -> tuple[ResidentState, ...]:
    """Return the states that live on a tier.

    Raises
    ------
    BundleError
        The plan's states are malformed.
    """
    data: Any = manifest.plan.get("data") or {}
    try:
        return tuple(
            ResidentState(past=state["past"], present=state["present"])
            for state in data.get("states", ())
            if state["tier"] == tier
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError("The plan's states in the manifest are malformed.") from error


def _check_travels(stage: StageEntry, spec: TensorSpec) -> None:
    """Refuse an input or output that the protocol can't carry."""
    if spec.kind != "tensor":
        raise UnsupportedModelError(
            f"The stage of {stage.tier!r} has the value {spec.name!r} of kind {spec.kind}, and only"
            " dense tensors travel; cut the model elsewhere."
        )
    name_datatype(spec.name, spec.dtype)


def _check_session(session: Session, stage: StageEntry) -> None:
    """Refuse a file that does not take and give what the manifest says."""
    pairs = (
        ("inputs", session.inputs, stage.inputs),
        ("outputs", session.outputs, stage.outputs),
    )
    for what, found, described in pairs:
        if _list_types(found) != _list_types(described):
            raise BundleError(
                f"The {what} of {stage.file} are {_say_types(found)}, and the manifest says"
                f" {_say_types(described)}; cut the model again."
            )


def _list_types(specs: Sequence[TensorSpec]) -> dict[str, str | None]:
    """Map names to element types."""
    return {spec.name: spec.dtype for spec in specs}


def _say_types(specs: Sequence[TensorSpec]) -> str:
    """Name specs with their types."""
    return ", ".join(f"{spec.name} ({spec.dtype})" for spec in specs) or "none"
