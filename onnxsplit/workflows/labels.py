"""Labels that fit a model's predictions, where there is no data yet."""

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.graph import TensorSpec


def draw_label(
    label: TensorSpec, predictions: TensorSpec | None, class_axis: int | None
) -> Array | None:
    """Draw labels, the same ones each time.

    Parameters
    ----------
    label : TensorSpec
        Symbolic dims are those of the predictions.
    predictions : TensorSpec or None
        With real sizes.
    class_axis : int or None
        Of the predictions; None where labels are no classes.

    Returns
    -------
    array or None
        None where the sizes are not known.
    """
    sizes = _list_sizes(predictions)
    if sizes is None or label.shape is None:
        return None
    rows = [size for axis, size in enumerate(sizes) if axis != class_axis]
    if len(rows) < len(label.shape):
        return None
    shape = [
        dim if isinstance(dim, int) else size for dim, size in zip(label.shape, rows, strict=False)
    ]
    random = np.random.default_rng(0)
    if class_axis is not None:
        return random.integers(0, max(1, sizes[class_axis]), shape).astype(np.int64)
    drawn = random.standard_normal(shape)
    return np.asarray(drawn > 0 if label.dtype == "int64" else drawn).astype(label.dtype)


def _list_sizes(spec: TensorSpec | None) -> list[int] | None:
    """Return the dims of a value if all are known."""
    if spec is None or spec.shape is None:
        return None
    sizes = [size for size in spec.shape if isinstance(size, int)]
    return sizes if len(sizes) == len(spec.shape) else None
