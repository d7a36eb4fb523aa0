"""Where callers say that data lives."""

from collections.abc import Sequence

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.planning.costs.question import DataPlaces
from onnxsplit.workflows.data_places import DataOptions, match_states, read_places

TIERS = ("phone", "edge", "cloud")


def make_decoder(pairs: Sequence[tuple[str, str]], *, dtype: str = "float32") -> OperatorGraph:
    """A model in which each output is its past with something new behind it."""
    names = ["ids", *(past for past, _ in pairs)]
    operators = [
        Operator(
            name=f"extend{place}",
            op_type="Concat",
            domain="",
            index=place,
            inputs=("ids", past),
            outputs=(present,),
        )
        for place, (past, present) in enumerate(pairs)
    ]
    specs = {name: TensorSpec(name=name, dtype="float32", shape=(1, 2)) for name in names}
    specs |= {name: TensorSpec(name=name, dtype=dtype, shape=(1, 3)) for _, name in pairs}
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(operators),
        tensors=specs,
        inputs=tuple(names),
        outputs=tuple(present for _, present in pairs),
    )


def read_pairs(graph: OperatorGraph, *state: str) -> list[tuple[str, str]]:
    places = read_places(DataOptions(state=state), graph, TIERS)
    return [(entry.past, entry.present) for entry in places.states]


USUAL = [
    [("past_key_values.0.key", "present.0.key"), ("past_key_values.0.value", "present.0.value")],
    [("past_key_values.1.decoder.key", "present.1.decoder.key")],
    [("past_key_0", "present_key_0"), ("past_value_0", "present_value_0")],
    [("past_0", "present_0"), ("past_1", "present_1")],
    [("past.0.key", "present.0.key")],
]


@pytest.mark.parametrize("pairs", USUAL)
def test_the_usual_names_are_guessed_and_the_guess_is_told(pairs: list[tuple[str, str]]) -> None:
    graph = make_decoder(pairs)
    places = read_places(DataOptions(), graph, TIERS)
    assert [(state.past, state.present) for state in places.states] == pairs
    (sentence,) = places.assumptions
    assert f"{pairs[0][0]} = {pairs[0][1]}" in sentence
    assert "--state none" in sentence


def test_other_names_are_not_guessed_but_can_be_given() -> None:
    graph = make_decoder([("cache_in_0", "cache_out_0"), ("h", "h_next")])
    assert read_places(DataOptions(), graph, TIERS) == DataPlaces()
    assert read_pairs(graph, "cache_in_*=cache_out_*", "h=h_next") == [
        ("cache_in_0", "cache_out_0"),
        ("h", "h_next"),
    ]


def test_what_is_given_is_no_assumption_and_none_turns_guessing_off() -> None:
    graph = make_decoder([("past_0", "present_0")])
    given = read_places(DataOptions(state=("past_*=present_*",)), graph, TIERS)
    assert len(given.states) == 1
    assert given.assumptions == ()
    assert read_pairs(graph, "none") == []


def test_auto_adds_to_what_is_given() -> None:
    graph = make_decoder([("past_0", "present_0"), ("h", "h_next")])
    assert read_pairs(graph, "h=h_next", "auto") == [("h", "h_next"), ("past_0", "present_0")]


def test_a_name_that_fits_by_chance_is_no_state() -> None:
    assert read_pairs(make_decoder([("past_0", "present_0")], dtype="int64"), "auto") == []


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (("past*",), "must be PAST=PRESENT"),
        (("*a*=b*",), "must be PAST=PRESENT"),
        (("*a*=*b*",), "must be PAST=PRESENT"),
        (("past_*=present_0",), "must be PAST=PRESENT"),
        (("pst_*=present_*",), "no input is named like 'pst_\\*'"),
        (("past_*=out_*",), "'past_0' needs an output 'out_0'"),
        (("none", "past_*=present_*"), "--state none stands alone"),
        (("past_0=present_0", "past_1=present_0"), "can't become both 'past_0' and 'past_1'"),
    ],
)
def test_patterns_that_can_not_be_meant_are_refused(state: tuple[str, ...], told: str) -> None:
    graph = make_decoder([("past_0", "present_0"), ("past_1", "present_1")])
    with pytest.raises(UsageError, match=told):
        read_places(DataOptions(state=state), graph, TIERS)


def test_types_that_differ_are_refused() -> None:
    graph = make_decoder([("past_0", "present_0")], dtype="int64")
    with pytest.raises(UsageError, match="types or ranks differ"):
        read_places(DataOptions(state=("past_*=present_*",)), graph, TIERS)


def test_the_star_stands_for_the_same_text() -> None:
    graph = make_decoder([("past.0.k", "new.0.k"), ("past.10.k", "new.10.k"), ("past.0.v", "n")])
    assert match_states("past.*.k=new.*.k", graph) == {
        "past.0.k": "new.0.k",
        "past.10.k": "new.10.k",
    }


@pytest.mark.parametrize(("tier", "moved"), [("cloud", True), ("server", True), ("phone", False)])
def test_data_lives_at_either_end(tier: str, moved: bool) -> None:  # noqa: FBT001 - pytest calls it so
    graph = make_decoder([("h", "y")])
    options = DataOptions(input_at=(("ids", tier),), output_at=(("y", tier),))
    places = read_places(options, graph, TIERS)
    assert places.inputs_at_last == frozenset({"ids"} if moved else ())
    assert places.outputs_at_last == frozenset({"y"} if moved else ())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (DataOptions(input_at=(("idz", "cloud"),)), "no input 'idz'.*'ids'"),
        (DataOptions(output_at=(("z", "cloud"),)), "no output 'z'"),
        (
            DataOptions(input_at=(("ids", "edge"),)),
            "between the ends; data lives on phone or cloud",
        ),
        (DataOptions(input_at=(("ids", "moon"),)), "no tier 'moon'"),
        (DataOptions(input_at=(("ids", "cloud"), ("ids", "phone"))), "names 'ids' twice"),
        (DataOptions(input_at=(("past_0", "cloud"),)), "'past_0' is part of a state"),
        (DataOptions(output_at=(("present_0", "cloud"),)), "'present_0' is part of a state"),
    ],
)
def test_places_that_do_not_exist_are_refused(options: DataOptions, told: str) -> None:
    graph = make_decoder([("past_0", "present_0")])
    with pytest.raises(UsageError, match=told):
        read_places(options, graph, TIERS)
