import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxsplit.engines.port import Value
from onnxsplit.parity.comparison import Array, compare_structure, compare_values

DTYPES = [np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, np.complex64]


@st.composite
def any_array(draw: st.DrawFn) -> Array:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array: Array = draw(arrays.arrays(dtype, shape))
    return array


@given(any_array())
def test_every_array_equals_its_copy_nans_included(array: Array) -> None:
    compared = compare_values(array.copy(), array)
    assert compared.bit_equal
    assert compared.within_tolerance
    assert not compared.problem


@given(any_array().filter(lambda array: array.size > 0), st.data())
def test_one_changed_element_is_found(array: Array, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, array.size - 1))
    changed = array.copy()
    flat = changed.reshape(-1)
    flat[place] = ~flat[place] if array.dtype == np.bool_ else np.array(flat[place]) + 1
    if np.array_equal(flat, array.reshape(-1), equal_nan=array.dtype.kind in "fc"):
        return  # infinity plus one, or NaN plus one, is no change
    assert not compare_values(changed, array).bit_equal


def test_a_difference_of_one_ulp_is_no_bit_equality_but_within_tolerance() -> None:
    whole = np.linspace(-1, 1, 7, dtype=np.float32)
    staged = whole.copy()
    staged[2] = np.nextafter(whole[2], np.float32(9))
    compared = compare_values(staged, whole)
    assert not compared.bit_equal
    assert compared.within_tolerance
    assert 0 < compared.max_absolute < 1e-6


def test_tolerance_is_relative_to_the_largest_value() -> None:
    whole = np.array([1000.0, 1.0], dtype=np.float32)
    assert compare_values(whole + np.float32(0.09), whole).within_tolerance
    assert not compare_values(whole + np.float32(0.2), whole).within_tolerance


def test_integers_and_zeros_leave_no_tolerance() -> None:
    assert not compare_values(np.array([4]), np.array([5])).within_tolerance
    zeros = np.zeros(3, dtype=np.float32)
    assert not compare_values(zeros + np.float32(1e-30), zeros).within_tolerance


def test_minus_zero_is_not_bit_equal_to_zero() -> None:
    compared = compare_values(np.array([-0.0]), np.array([0.0]))
    assert not compared.bit_equal
    assert compared.within_tolerance


@pytest.mark.parametrize(
    ("staged", "whole", "equal", "nans"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], True, 1),
        ([np.nan, 1.0], [2.0, 1.0], False, 0),
        ([2.0, 1.0], [np.nan, 1.0], False, 0),
        ([np.nan, 1.0], [1.0, np.nan], False, 0),
    ],
)
def test_a_nan_equals_only_a_nan_in_the_same_place(
    staged: list[float], whole: list[float], nans: int, *, equal: bool
) -> None:
    compared = compare_values(np.array(staged), np.array(whole))
    assert compared.bit_equal == equal
    assert compared.within_tolerance == equal
    assert compared.matching_nans == nans
    assert bool(compared.problem) != equal


def test_nans_of_other_bits_count_as_equal() -> None:
    other = np.array([0x7FC00001], dtype=np.uint32).view(np.float32)
    assert compare_values(other, np.array([np.nan], dtype=np.float32)).bit_equal


@pytest.mark.parametrize(
    ("staged", "within"), [([np.inf], True), ([-np.inf], False), ([1.0], False)]
)
def test_infinities_match_only_themselves(staged: list[float], *, within: bool) -> None:
    assert compare_values(np.array(staged), np.array([np.inf])).within_tolerance == within


@pytest.mark.parametrize(
    ("staged", "whole", "problem"),
    [
        (np.zeros(2, np.float32), np.zeros(2, np.float64), "float32"),
        (np.zeros((2, 1)), np.zeros(2), "shape"),
        ([np.zeros(2)], np.zeros(2), "sequence"),
        ([np.zeros(2)], [np.zeros(2), np.zeros(2)], "1 elements"),
        (None, np.zeros(2), "nothing"),
        ([np.zeros(2)], [np.zeros(3)], "shape"),
    ],
)
def test_other_types_shapes_and_kinds_are_problems(
    staged: Value, whole: Value, problem: str
) -> None:
    for compare in (compare_values, compare_structure):
        compared = compare(staged, whole)
        assert problem in compared.problem
        assert not compared.bit_equal


def test_sequences_optionals_and_strings_are_compared() -> None:
    assert compare_values(None, None).bit_equal
    assert compare_values([], []).bit_equal
    assert compare_values([np.ones(2)], [np.ones(2)]).bit_equal
    assert not compare_values([np.ones(2)], [np.zeros(2)]).bit_equal
    words = np.array(["a", "b"], dtype=object)
    assert compare_values(words, words.copy()).bit_equal
    assert not compare_values(np.array(["a", "c"], dtype=object), words).within_tolerance


def test_structure_alone_ignores_values() -> None:
    assert not compare_structure(np.ones(3), np.zeros(3)).problem
