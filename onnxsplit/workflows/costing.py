"""Profiles for every tier: files as they are, ``local`` measured here, once, and scaled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxsplit.engines.port import EngineOptions
from onnxsplit.profiles import Profile
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.measurement import profile_model
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.progress import Progress
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.targets import LocalTier


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringOptions:
    """How this machine is measured.

    Parameters
    ----------
    engine : EngineOptions
    cache : bool
        Whether earlier measurements may serve.
    budget_seconds : float
        Time that measuring may take.
    idle_gap_seconds : float, optional
        Also time runs after such pauses.
    """

    engine: EngineOptions
    cache: bool = True
    budget_seconds: float = 10.0
    idle_gap_seconds: float | None = None


def measure_here(
    prepared: PreparedModel, tier: str, options: MeasuringOptions, progress: Progress
) -> Profile:
    """Measure a model on this machine.

    Raises
    ------
    UsageError
        The provider is not available.
    ModelError
        The model can't be run.
    """
    subject = Subject(model=prepared.model, graph=prepared.graph, feeds=prepared.batches[0])
    return profile_model(
        subject,
        options.engine,
        tier=tier,
        cache=ProfileCache.locate() if options.cache else None,
        instruments=Instruments(
            rule=StopRule(budget_seconds=options.budget_seconds), progress=progress
        ),
        idle_gap_seconds=options.idle_gap_seconds,
    )


def settle_profiles(
    tiers: Mapping[str, Profile | LocalTier],
    prepared: PreparedModel,
    options: MeasuringOptions,
    progress: Progress,
    *,
    engines: Mapping[str, EngineOptions],
) -> dict[str, Profile]:
    """Return a profile for each tier, measuring this machine at most once for each runtime.

    Raises
    ------
    UsageError
        The provider is not available.
    ModelError
        The model can't be run.
    """
    profiles: dict[str, Profile] = {}
    measured: dict[str, Profile] = {}
    for tier, source in tiers.items():
        if isinstance(source, Profile):
            profiles[tier] = replace(source, tier=tier)
            continue
        engine = engines[tier]
        if engine.runtime not in measured:
            measured[engine.runtime] = measure_here(
                prepared, tier, replace(options, engine=engine), progress
            )
        local = replace(measured[engine.runtime], tier=tier)
        profiles[tier] = local if source.speed == 1 else local.scale(source.speed)
    return profiles
