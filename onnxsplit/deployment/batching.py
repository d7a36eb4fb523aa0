"""Whether an engine may give a stage batches: what the types of its inputs and outputs allow."""

from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.stage_entries import StageEntry

_LEAST_RANK = 2


def find_obstacle(stage: StageEntry) -> str | None:
    """Say why a stage's first dims can't be a batch, or return None if they can.

    Every input and output must have a leading dim that is not fixed, the same one by name where
    it has a name, and a second one: engines can't be told of a batch of scalars.

    Examples
    --------
    >>> image = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8))
    >>> scores = TensorSpec(name="y", dtype="float32", shape=(1, 10))
    >>> entry = {"tier": "server", "file": "server.onnx", "sha256": "", "operators": 1}
    >>> find_obstacle(StageEntry(**entry, weight_bytes=0, inputs=(image,), outputs=(scores,)))
    "the first dim of 'y' is fixed at 1"
    """
    leading: dict[Dim, str] = {}
    for spec in (*stage.inputs, *stage.outputs):
        obstacle = _find_own_obstacle(spec)
        if obstacle is not None:
            return obstacle
        leading.setdefault(spec.shape[0] if spec.shape else None, spec.name)
    if len(leading) > 1:
        (dim, name), (other_dim, other) = list(leading.items())[:2]
        return f"the first dims of {name!r} and {other!r} are not the same ({dim}, {other_dim})"
    return None


def _find_own_obstacle(spec: TensorSpec) -> str | None:
    """Say why one value alone has no batch."""
    if spec.shape is None:
        return f"the rank of {spec.name!r} is not known"
    if len(spec.shape) < _LEAST_RANK:
        return f"{spec.name!r} has {len(spec.shape)} dims, and a batch needs at least {_LEAST_RANK}"
    if isinstance(spec.shape[0], int):
        return f"the first dim of {spec.name!r} is fixed at {spec.shape[0]}"
    return None
