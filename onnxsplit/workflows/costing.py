"""Profiles for every tier: files as they are, ``local`` measured here, once, and scaled."""

from collections.abc import Mapping
from dataclasses import replace

from onnxsplit.engines.port import EngineOptions
from onnxsplit.profiles import Profile
from onnxsplit.profiling.instruments import Subject
from onnxsplit.progress import Progress
from onnxsplit.workflows.benches import MeasuringOptions, measure_subject
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.targets import LocalTier
from onnxsplit.workflows.training_profiles import measure_training


def measure_here(
    prepared: PreparedModel, tier: str, options: MeasuringOptions, progress: Progress
) -> Profile:
    """Measure a model on this machine: an inference, or a training step if the options say so.

    Raises
    ------
    UsageError
        The provider is not available.
    ModelError
        The model can't be run.
    """
    if options.training is not None:
        return measure_training(prepared, tier, options.training, options, progress)
    subject = Subject(model=prepared.model, graph=prepared.graph, feeds=prepared.batches[0])
    return measure_subject(subject, tier, options, progress)


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
