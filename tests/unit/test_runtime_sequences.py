from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from onnxsplit.errors import ModelError, RequestError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.sequences import SequenceStep, SequenceStore
from onnxsplit.runtime.stateful_models import ResidentState, StatefulModel

X = TensorSpec(name="x", dtype="float32", shape=("batch",))
TOTAL = TensorSpec(name="total", dtype="float32", shape=("batch",))
PAST = TensorSpec(name="past", dtype="float32", shape=("batch",))
PRESENT = TensorSpec(name="present", dtype="float32", shape=("batch",))
ROWS = TensorSpec(name="rows", dtype="int64", shape=("batch", "length"))
ROWS_AFTER = TensorSpec(name="rows_after", dtype="int64", shape=("batch", "length + 1"))


@dataclass(slots=True)
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(slots=True)
class Accumulator:
    """Adds ``x`` to its state, and keeps a row for each call; fails on 13."""

    calls: list[Sequence[str]] = field(default_factory=list)
    is_closed: bool = False

    @property
    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            name="sum", inputs=(X, PAST, ROWS), outputs=(TOTAL, PRESENT, ROWS_AFTER)
        )

    def infer(self, request: InferRequest) -> InferResponse:
        self.calls.append(request.outputs)
        x, past, rows = (request.inputs[name] for name in ("x", "past", "rows"))
        if (x == 13).any():
            raise ModelError("It does not like 13.")
        total = past + x
        made = {
            "total": total,
            "present": total,
            "rows_after": np.concatenate([rows, np.ones((len(x), 1), np.int64)], axis=1),
        }
        return InferResponse(
            model="sum", id=request.id, outputs={name: made[name] for name in request.outputs}
        )

    def close(self) -> None:
        self.is_closed = True


@dataclass(slots=True)
class World:
    clock: Clock
    inner: Accumulator
    store: SequenceStore
    model: StatefulModel

    def step(self, name: int | str, value: float, id: str = "", **flags: Parameter) -> float:  # noqa: A002 - the protocol's word
        parameters = {"sequence_id": name, **flags}
        request = InferRequest(
            model="sum",
            id=id,
            inputs={"x": np.full(2, value, np.float32)},
            parameters=parameters,
        )
        response = self.model.infer(request)
        assert list(response.outputs) == ["total"]
        return float(response.outputs["total"][0])


@pytest.fixture(name="world")
def _make_world() -> World:
    clock, inner = Clock(), Accumulator()
    store = SequenceStore(limit=2, expiry_seconds=10, clock=clock)
    states = (
        ResidentState(past="past", present="present"),
        ResidentState(past="rows", present="rows_after"),
    )
    return World(clock, inner, store, StatefulModel(inner, states, store))


def _refuse(world: World, status: int, name: int | str, **flags: Parameter) -> str:
    with pytest.raises(RequestError) as caught:
        world.step(name, 1, "", **flags)
    assert caught.value.status == status
    return str(caught.value)


def test_each_sequence_has_a_state_of_its_own(world: World) -> None:
    assert world.step(1, 5, sequence_start=True) == 5
    assert world.step("b", 100, sequence_start=True) == 100
    assert world.step(1, 2) == 7
    assert world.step("b", 1) == 101
    assert world.step(1, 1, sequence_end=True) == 8
    assert len(world.store) == 1


def test_a_sequence_begins_with_zeros_and_empty_where_nothing_says_how_long(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    sequence = world.store._sequences[1]  # noqa: SLF001 - what is kept is not shown otherwise
    assert sequence.states["rows"].shape == (2, 1)
    world.step(1, 5)
    assert sequence.states["rows"].shape == (2, 2)


def test_states_are_neither_asked_for_nor_told(world: World) -> None:
    metadata = world.model.metadata
    assert [spec.name for spec in metadata.inputs] == ["x"]
    assert [spec.name for spec in metadata.outputs] == ["total"]
    assert metadata.parameters["stateful"] is True
    with pytest.raises(RequestError, match="no input 'past'"):
        world.model.infer(
            InferRequest(
                model="sum",
                inputs={"x": np.ones(2, np.float32), "past": np.ones(2, np.float32)},
                parameters={"sequence_id": 1, "sequence_start": True},
            )
        )


def test_starting_again_forgets_what_was(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    assert world.step(1, 3, sequence_start=True) == 3


def test_a_sequence_that_is_not_known_is_refused(world: World) -> None:
    assert "start it again" in _refuse(world, 404, 9)
    world.step(1, 5, sequence_start=True, sequence_end=True)
    _refuse(world, 404, 1)


def test_a_request_without_a_sequence_is_refused(world: World) -> None:
    assert "sequence_start" in _refuse(world, 400, 0)
    _refuse(world, 400, "")
    with pytest.raises(RequestError, match="'sequence_id'"):
        world.step(1.5, 1)  # type: ignore[arg-type] # what a stranger may send
    with pytest.raises(RequestError, match="'sequence_start'"):
        world.step(1, 1, sequence_start=1)


def test_no_more_sequences_than_the_limit_are_kept(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    world.step(2, 5, sequence_start=True)
    assert "2 sequences are open" in _refuse(world, 429, 3, sequence_start=True)
    world.step(1, 5, sequence_end=True)
    assert world.step(3, 5, sequence_start=True) == 5


def test_a_sequence_that_rests_too_long_makes_room(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    world.step(2, 5, sequence_start=True)
    world.clock.seconds = 9
    world.step(2, 5)
    world.clock.seconds = 12
    assert world.step(3, 1, sequence_start=True) == 1
    _refuse(world, 404, 1)
    assert world.step(2, 1) == 11


def test_a_run_that_fails_changes_nothing(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    with pytest.raises(ModelError):
        world.step(1, 13)
    assert world.step(1, 1) == 6


def test_a_sequence_whose_first_run_fails_has_not_begun(world: World) -> None:
    with pytest.raises(ModelError):
        world.step(1, 13, sequence_start=True)
    assert len(world.store) == 0
    _refuse(world, 404, 1)


def test_a_request_that_comes_twice_runs_once(world: World) -> None:
    assert world.step(1, 5, id="a", sequence_start=True) == 5
    assert world.step(1, 5, id="a", sequence_start=True) == 5
    assert world.step(1, 2, id="b") == 7
    assert world.step(1, 2, id="b") == 7
    assert world.step(1, 2, id="c") == 9
    assert len(world.inner.calls) == 3


def test_the_last_request_of_a_sequence_that_comes_twice_runs_once(world: World) -> None:
    world.step(1, 5, id="a", sequence_start=True)
    assert world.step(1, 2, id="b", sequence_end=True) == 7
    assert world.step(1, 2, id="b", sequence_end=True) == 7
    assert len(world.inner.calls) == 2
    _refuse(world, 404, 1)
    assert world.step(1, 3, id="c", sequence_start=True) == 3
    for name in range(2, 99):
        world.step(name, 1, id=f"{name}", sequence_start=True, sequence_end=True)
    assert len(world.model._last_answers) == 64  # noqa: SLF001 - what is kept is not shown otherwise


def test_a_second_request_while_one_runs_is_refused(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    step = SequenceStep(id=1, is_start=False, is_end=False)
    with world.store.hold(step):
        assert "runs at this moment" in _refuse(world, 409, 1)
    assert world.step(1, 1) == 6


def test_what_runs_never_expires(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    with world.store.hold(SequenceStep(id=1, is_start=False, is_end=False)):
        world.clock.seconds = 99
        world.step(2, 5, sequence_start=True)
    assert world.step(1, 1) == 6


def test_closing_forgets_the_sequences(world: World) -> None:
    world.step(1, 5, sequence_start=True)
    world.model.close()
    assert len(world.store) == 0
    assert world.inner.is_closed
