"""Every tiny model, at every placement it has: stages equal the whole, and merge into it."""

from itertools import combinations

import pytest

from tests.conformance.harness import check_cut, list_ideals, prepare_subject, split_at
from tests.tiny_models import CASES


@pytest.mark.parametrize("case", CASES)
def test_stages_equal_the_whole_at_every_placement(case: str) -> None:
    subject = prepare_subject(case, *CASES[case]())
    ideals = list_ideals(subject.graph, 1000)
    assert ideals is not None
    done = [check_cut(subject, split_at(subject.graph, ideal)) for ideal in ideals]
    assert done[0] is not None
    assert done[-1] is not None
    assert len(done) > len(subject.graph)


@pytest.mark.parametrize("case", CASES)
def test_stages_of_three_tiers_equal_the_whole(case: str) -> None:
    subject = prepare_subject(case, *CASES[case]())
    ideals = list_ideals(subject.graph, 1000) or []
    pairs = [(one, two) for one, two in combinations(ideals, 2) if one <= two]
    assert pairs
    for one, two in pairs[:: max(1, len(pairs) // 40)]:
        check_cut(subject, split_at(subject.graph, one, two))
