"""The breaker, by a clock that a test moves."""

from onnxsplit.runtime.breaker import Breaker


class Clock:
    now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


def test_it_opens_at_a_failure_and_lets_one_caller_try_after_a_rest() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock, first_rest_seconds=1.0, longest_rest_seconds=4.0)
    assert breaker.may_ask()
    breaker.fail()
    assert not breaker.may_ask()
    assert not breaker.may_try()
    clock.now_seconds = 1.0
    assert [breaker.may_try(), breaker.may_try()] == [True, False]
    assert breaker.state == "half-open"
    breaker.succeed()
    assert breaker.may_ask()


def test_rests_double_up_to_a_limit_and_begin_anew_after_success() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock, first_rest_seconds=1.0, longest_rest_seconds=4.0)
    breaker.fail()
    rests = []
    for _ in range(4):
        start = clock.now_seconds
        while not breaker.may_try():
            clock.now_seconds += 0.5
        rests.append(clock.now_seconds - start)
        breaker.fail()
    assert rests == [1.0, 2.0, 4.0, 4.0]
    breaker.succeed()
    breaker.fail()
    clock.now_seconds += 1.0
    assert breaker.may_try()


def test_requests_that_fail_together_count_once() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock, first_rest_seconds=1.0)
    for _ in range(5):
        breaker.fail()
    clock.now_seconds = 1.0
    assert breaker.may_try()
