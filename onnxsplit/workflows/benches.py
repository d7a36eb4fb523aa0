"""How this machine is measured, whatever model is put on the bench."""

from dataclasses import dataclass

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.engines.port import EngineOptions
from onnxsplit.profiles import Profile
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.measurement import profile_model
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.progress import Progress


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
    training : Recipe, optional
        Measure a step of this training, rather than an inference.
    """

    engine: EngineOptions
    cache: bool = True
    budget_seconds: float = 10.0
    idle_gap_seconds: float | None = None
    training: Recipe | None = None


def measure_subject(
    subject: Subject, tier: str, options: MeasuringOptions, progress: Progress
) -> Profile:
    """Measure a model, its graph and its inputs on this machine.

    Raises
    ------
    UsageError
        The provider is not available.
    ModelError
        The model can't be run.
    """
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
