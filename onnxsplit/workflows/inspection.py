"""``inspect``: operators, sizes, cut points, and what can't be cut and why."""

from collections.abc import Mapping, Sequence

from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.loading import ModelSource
from onnxsplit.planning.inspection import Inspection, inspect_graph
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.workflows.preparation import InputOptions, InputSource, prepare_from_profiles


def inspect(
    model: ModelSource,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: InputSource | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Look at a model without measuring anything.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        It is run once only where shape inference can't tell a size, and only if its weights are
        there.
    shapes, dims, inputs : mapping, mapping, path or mapping, optional
        Fix the inputs' sizes.
    progress : Progress, optional

    Returns
    -------
    Inspection

    Raises
    ------
    OnnxSplitError
        The model can't be read, a dim has no size, or an option is wrong.
    """
    sizes = InputOptions(shapes=shapes or {}, dims=dims or {}, inputs=inputs)
    prepared = prepare_from_profiles(
        model, sizes, EngineOptions(), progress or SilentProgress(), profiles=()
    )
    return inspect_graph(prepared.graph)
