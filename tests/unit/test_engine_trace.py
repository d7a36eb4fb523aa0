import json

import pytest

from onnxsplit.engines.trace import read_dtype, read_events


def record(name: str, start: int, duration: int, *, category: str = "Session") -> str:
    arguments = '"op_name" : "Relu","provider" : "CPU","output_type_shape" : [{"float":[2,3]}]'
    return (
        f'{{"cat" : "{category}","pid" :1,"tid" :1,"dur" :{duration},"ts" :{start},"ph" : "X",'
        f'"name" :"{name}","args" : {{{arguments}}}}},\n'
    )


def node(name: str, start: int, duration: int) -> str:
    return record(f"{name}_kernel_time", start, duration, category="Node")


def execute(start: int, duration: int) -> str:
    return record("SequentialExecutor::Execute", start, duration)


def run(start: int, duration: int) -> str:
    return record("model_run", start, duration)


def read(*records: str) -> list[tuple[int, str, int]]:
    lines = "".join(("[\n", record("session_initialization", 0, 9), *records)).splitlines(
        keepends=True
    )
    return [
        (event.run, event.operator, round(event.seconds * 1e6))
        for event in read_events([*lines, "]\n"])
    ]


def test_kernels_are_listed_run_by_run_with_their_durations() -> None:
    events = read(
        *(node("a", 10, 3), node("b", 14, 2), execute(10, 6), run(9, 8)),
        *(node("a", 20, 4), execute(20, 5), run(19, 8)),
    )
    assert events == [
        (0, "a", 3),
        (0, "b", 2),
        (1, "a", 4),
    ]


def test_nested_executions_belong_to_their_operators_at_any_depth() -> None:
    events = read(
        node("first", 10, 2),
        *(node("innermost", 15, 1), execute(15, 2)),
        *(node("inner", 14, 4), execute(14, 5)),
        *(node("inner", 20, 4), execute(20, 5)),
        node("loop", 13, 13),
        node("last", 27, 1),
        execute(10, 20),
        run(9, 22),
    )
    assert [name for _, name, _ in events] == ["first", "loop", "last"]


def test_a_run_that_is_not_complete_is_left_out() -> None:
    assert read(node("a", 10, 3), execute(10, 6), run(9, 8), node("a", 20, 4)) == [(0, "a", 3)]
    assert read(node("a", 10, 3)) == []


@pytest.mark.parametrize(
    "name", ['a "b" c', 'ends with "', "two\nlines", 'x","args" : {}', "back\\slash", "ü", "a\tb"]
)
@pytest.mark.parametrize("escaped", [True, False])
def test_names_are_read_whether_they_were_escaped_or_not(name: str, *, escaped: bool) -> None:
    written = json.dumps(name)[1:-1] if escaped else name
    events = read(
        node("a", 8, 1), node(written, 10, 3), node("z", 14, 1), execute(8, 9), run(7, 11)
    )
    assert [operator for _, operator, _ in events] == ["a", name, "z"]


def test_a_broken_record_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read(node("a", 10, 3)[:-20])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("float", "float32"),
        ("double", "float64"),
        ("Float8E4M3FN", "float8e4m3fn"),
        ("Int4x2", "int4"),
        ("bfloat16", "bfloat16"),
        ("string", "string"),
    ],
)
def test_element_types_have_onnxs_names(theirs: str, ours: str) -> None:
    assert read_dtype(theirs) == ours
