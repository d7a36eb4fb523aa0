import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxsplit.cli.arguments import (
    parse_dims,
    parse_shapes,
    parse_share,
    parse_tensor_names,
    whole_number,
)
from onnxsplit.errors import UsageError


def test_shapes_are_read_by_name() -> None:
    assert parse_shapes(["x=1,3,224,224", "mask=8"]) == {"x": (1, 3, 224, 224), "mask": (8,)}
    assert parse_shapes(None) == {}


def test_a_name_may_hold_an_equals_sign() -> None:
    assert parse_shapes(["a=b:0=2,3"]) == {"a=b:0": (2, 3)}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(min_size=1), st.lists(st.integers(1, 2**31), min_size=1, max_size=5), max_size=4
    )
)
def test_every_written_shape_reads_back(shapes: dict[str, list[int]]) -> None:
    texts = [f"{name}={','.join(map(str, dims))}" for name, dims in shapes.items()]
    assert parse_shapes(texts) == {name: tuple(dims) for name, dims in shapes.items()}


@pytest.mark.parametrize("text", ["x", "=1,2", "x=", "1,3,224,224", ""])
def test_a_shape_without_name_or_dims_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_shapes([text])
    assert repr(text) in str(caught.value)
    assert "--shape x=1,3,224,224" in str(caught.value)


@pytest.mark.parametrize("text", ["x=1,a", "x=1,,2", "x=0", "x=-1,2", "x=1.5", "x=1x3"])
def test_a_dim_that_is_no_positive_number_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is no positive whole number") as caught:
        parse_shapes([text])
    assert repr(text) in str(caught.value)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="'batch' twice"):
        parse_dims(["batch=1", "batch=2"])


def test_dims_are_read_by_name() -> None:
    assert parse_dims(["batch=1", "sequence length=128"]) == {"batch": 1, "sequence length": 128}


@pytest.mark.parametrize("text", ["batch", "batch=", "batch=two", "batch=-1", "batch=1,2"])
def test_a_malformed_dim_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--dim batch=1"):
        parse_dims([text])


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), (" 12.5 % ", 0.125)]
)
def test_a_share_is_a_fraction_or_percent(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["5", "50%", "-1%", "nan", "inf", "five", "", "%"])
def test_a_share_that_two_sides_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"5%"):
        parse_share(text)


def test_tensor_names_split_at_commas_unless_quoted() -> None:
    assert parse_tensor_names(["a,b", '"c,d"', "a", "e f, g"]) == ("a", "b", "c,d", "e f", "g")
    assert parse_tensor_names(None) == ()


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a,,b"])
def test_an_empty_tensor_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty name"):
        parse_tensor_names([text])


def test_a_whole_number_is_read_from_text_or_number() -> None:
    parse = whole_number(1)
    assert parse("4") == 4
    assert parse(2) == 2


@pytest.mark.parametrize(
    ("text", "fault"), [("four", "'four'"), ("1.5", "'1.5'"), ("0", "least is 1")]
)
def test_a_number_that_is_none_or_too_small_is_named(text: str, fault: str) -> None:
    with pytest.raises(typer.BadParameter, match=fault):
        whole_number(1)(text)
