"""Profiles for every tier: files as they are, ``local`` measured here, once, and scaled."""

from collections.abc import Mapping
from dataclasses import replace

from onnxsplit.engines.port import DEFAULT_RUNTIME, EngineOptions
from onnxsplit.errors import UnsupportedModelError
from onnxsplit.profiles import Profile
from onnxsplit.profiling.instruments import Subject
from onnxsplit.progress import Progress
from onnxsplit.workflows.benches import MeasuringOptions, measure_subject
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.targets import LocalTier
from onnxsplit.workflows.training_profiles import measure_training

_BORROWED = "borrowed_from"
"""Key of a profile: the runtime that it was measured on in the place of its own."""

_BORROWED_NOTE = (
    "{runtime} can't run the whole model, so the operators of the {tier} are taken to last as long"
    " as on onnxruntime; those that {runtime} can't run are kept off it."
)


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

    Where a runtime can't run the whole model, its operators are taken to last as long as on
    onnxruntime; `is_borrowed` tells.

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
            measured[engine.runtime] = _measure_or_borrow(
                prepared, tier, replace(options, engine=engine), progress
            )
        local = replace(measured[engine.runtime], tier=tier)
        profiles[tier] = local if source.speed == 1 else local.scale(source.speed)
    return profiles


def is_borrowed(profile: Profile) -> bool:
    """Tell whether a profile was measured on another runtime, as its own can't run the model."""
    return _BORROWED in profile.extra


def _measure_or_borrow(
    prepared: PreparedModel, tier: str, options: MeasuringOptions, progress: Progress
) -> Profile:
    """Measure on a runtime, or on onnxruntime where that one can't run the whole model."""
    engine = options.engine
    try:
        return measure_here(prepared, tier, options, progress)
    except UnsupportedModelError:
        if engine.runtime == DEFAULT_RUNTIME:
            raise
    reference = replace(options, engine=engine.reference)
    profile = measure_here(prepared, tier, reference, progress)
    note = _BORROWED_NOTE.format(runtime=engine.runtime, tier=tier)
    return replace(
        profile,
        evidence="assumed",
        assumptions=(*profile.assumptions, note),
        extra={**profile.extra, _BORROWED: DEFAULT_RUNTIME},
    )
