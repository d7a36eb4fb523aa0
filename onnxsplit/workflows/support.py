"""What a runtime can't run of a model: it is asked, one kind of operator after the other."""

from dataclasses import replace

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Runtime
from onnxsplit.errors import ModelError
from onnxsplit.model.isolation import isolate_kinds
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.progress import Progress
from onnxsplit.workflows.costing import is_borrowed
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.preparation import PreparedModel

_TWO = 2


def ask_runtimes(grounds: Grounds, device_runtime: Runtime | None, progress: Progress) -> Grounds:
    """Ask runtimes what they can't run: the device's if that is wanted, and any that can't run all.

    Parameters
    ----------
    grounds : Grounds
    device_runtime : str or None
        The runtime to ask for the first tier.
    progress : Progress

    Returns
    -------
    Grounds
        With ``lacking``.

    Raises
    ------
    UsageError
        The runtime is not installed.
    """
    asked = {
        tier: grounds.engines[tier]
        for tier, profile in grounds.profiles.items()
        if is_borrowed(profile)
    }
    if device_runtime is not None:
        first = grounds.topology.tiers[0]
        asked[first] = grounds.engines[first].on(device_runtime)
    lacking = {
        tier: find_lacking(grounds.prepared, engine, progress) for tier, engine in asked.items()
    }
    return replace(grounds, lacking=lacking)


def respect_support(constraints: Constraints, grounds: Grounds) -> Constraints:
    """Add to constraints what runtimes can't run: off the first tier, or of two off the last.

    Parameters
    ----------
    constraints : Constraints
    grounds : Grounds
    """
    tiers, lacking = grounds.topology.tiers, grounds.lacking
    first, last = tiers[0], tiers[-1]
    stay = lacking.get(last, ()) if len(tiers) == _TWO else ()
    return replace(
        constraints,
        device_lacks=lacking.get(first, ()),
        pins=(*constraints.pins, *((first, name) for name in stay)),
    )


def find_lacking(
    prepared: PreparedModel, engine: EngineOptions, progress: Progress
) -> tuple[str, ...]:
    """Return the operators that a runtime can't load, in the model's order.

    Parameters
    ----------
    prepared : PreparedModel
    engine : EngineOptions
    progress : Progress

    Raises
    ------
    UsageError
        The runtime is not installed.
    """
    kinds = list(isolate_kinds(prepared.model, prepared.graph))
    lacking: list[str] = []
    for place, kind in enumerate(kinds):
        progress.report(f"asking {engine.runtime}", done=place, total=len(kinds))
        if kind.content is None or not _can_load(kind.content, engine):
            lacking.extend(kind.operators)
    progress.report(f"asking {engine.runtime}", done=len(kinds), total=len(kinds))
    return tuple(sorted(lacking, key=prepared.graph.position))


def _can_load(content: bytes, engine: EngineOptions) -> bool:
    """Tell whether a runtime takes a model."""
    try:
        open_session(content, engine).close()
    except ModelError:
        return False
    return True
