import pytest

from onnxsplit.errors import ModelError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec


def _operator(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Operator:
    return Operator(name=name, op_type="Op", domain="", index=0, inputs=inputs, outputs=outputs)


def _graph(*operators: Operator, outputs: tuple[str, ...]) -> OperatorGraph:
    names = {"x", *(tensor for operator in operators for tensor in operator.outputs)}
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=operators,
        tensors={name: TensorSpec(name=name, dtype="float32", shape=(2,)) for name in names},
        inputs=("x",),
        outputs=outputs,
    )


def test_a_graph_knows_producers_consumers_roots_and_leaves() -> None:
    graph = _graph(
        _operator("split", ("x",), ("a", "b")),
        _operator("left", ("a",), ("c",)),
        _operator("join", ("c", "b", "a"), ("y",)),
        outputs=("y",),
    )
    assert graph.producer("b") == "split"
    assert graph.producer("x") is None
    assert graph.consumers("a") == ("left", "join")
    assert graph.predecessors("join") == ("left", "split")
    assert graph.successors("split") == ("left", "join")
    assert graph.roots == ("split",)
    assert graph.leaves == ("join",)
    assert "left" in graph
    assert len(graph) == 3


@pytest.mark.parametrize(
    ("operators", "outputs", "message"),
    [
        ([("a", ("x",), ("y",)), ("a", ("y",), ("z",))], ("z",), "Two operators"),
        ([("a", ("q",), ("y",))], ("y",), "before anything makes it"),
        ([("a", ("y",), ("z",)), ("b", ("x",), ("y",))], ("z",), "topological"),
        ([("a", ("x",), ("y",)), ("b", ("x",), ("y",))], ("y",), "made twice"),
        ([("a", ("x",), ("y",))], ("w",), "Nothing makes"),
    ],
)
def test_what_is_no_dag_is_refused_by_name(
    operators: list[tuple[str, tuple[str, ...], tuple[str, ...]]],
    outputs: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(ModelError, match=message):
        _graph(*(_operator(*entry) for entry in operators), outputs=outputs)


@pytest.mark.parametrize(
    ("dtype", "shape", "size_bytes"),
    [
        ("float32", (1, 64, 56, 56), 802_816),
        ("float16", (3,), 6),
        ("int64", (), 8),
        ("bool", (7,), 7),
        ("uint4", (3,), 2),
        ("float32", (0, 5), 0),
        ("float32", ("batch", 5), None),
        ("float32", None, None),
        ("string", (2,), None),
        (None, (2,), None),
    ],
)
def test_bytes_are_elements_times_item_size(
    dtype: str | None, shape: tuple[int | str, ...] | None, size_bytes: int | None
) -> None:
    spec = TensorSpec(name="t", dtype=dtype, shape=shape)
    assert spec.size_bytes == size_bytes
    assert (spec.travel_obstacle is None) == (size_bytes is not None)


def test_a_sequence_says_why_it_cannot_travel() -> None:
    spec = TensorSpec(name="t", dtype="float32", shape=None, kind="sequence")
    assert spec.travel_obstacle is not None
    assert "sequence" in spec.travel_obstacle
