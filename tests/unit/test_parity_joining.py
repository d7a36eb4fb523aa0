"""What several cuts showed, joined: the worst is told, and whose it is."""

from dataclasses import replace

from onnxsplit.evidence import OutputParity, ParityResult, join_results

GOOD = OutputParity(
    output="y",
    dtype="float32",
    bit_equal=True,
    max_absolute=0.0,
    max_relative=0.0,
    tolerance=1e-4,
    matching_nans=0,
    passed=True,
)
BAD = replace(GOOD, bit_equal=False, max_relative=0.5, passed=False, problem="differs by half")


def make_result(*outputs: OutputParity, note: str) -> ParityResult:
    return ParityResult(outputs=outputs, batches=1, source="given", notes=(note,))


def test_one_cut_that_fails_makes_the_whole_fail_and_is_named() -> None:
    joined = join_results(
        {"cut-1": make_result(GOOD, note="a"), "cut-2": make_result(BAD, note="b")}
    )
    assert not joined.passed
    assert joined.outputs[0].problem == "cut-2: differs by half"
    assert joined.notes[1:] == ("a", "b")
    assert "cut-1, cut-2" in joined.notes[0]


def test_outputs_are_judged_each_by_itself() -> None:
    drifting = replace(GOOD, bit_equal=False, max_relative=1e-6)
    joined = join_results(
        {"a": make_result(GOOD, drifting, note="n"), "b": make_result(drifting, GOOD, note="n")}
    )
    assert joined.passed
    assert not joined.bit_equal
    assert [output.max_relative for output in joined.outputs] == [1e-6, 1e-6]
    assert joined.notes[1:] == ("n",)
