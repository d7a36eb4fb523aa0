"""What a runtime can't run of a model: it is asked, one kind of operator after the other."""

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError
from onnxsplit.model.isolation import isolate_kinds
from onnxsplit.progress import Progress
from onnxsplit.workflows.preparation import PreparedModel


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
