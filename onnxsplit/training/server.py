"""The server's half: learns step by step, in order, each step once."""

from collections.abc import Iterable, Mapping

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import RequestError, UsageError
from onnxsplit.training.half import Half, StageOutcome
from onnxsplit.training.ports import EvaluationRequest, StepAnswer, StepRequest
from onnxsplit.training.scores import Score, score_batch
from onnxsplit.training.stages import LOSS

_CONFLICT = 409
"""The HTTP status of a request that does not fit what the server holds."""


class ServerHalf:
    """The server's half of a training; implements `onnxsplit.training.ports.ServerPort`.

    Not safe for use from several threads at once: whoever serves it guards it.

    Parameters
    ----------
    training, evaluation : Half
        Stages of a step and of an evaluation, over the same state.
    predictions : str
    class_axis : int or None
    step : int
        Steps that the state has seen.
    """

    def __init__(
        self,
        training: Half,
        evaluation: Half,
        *,
        predictions: str,
        class_axis: int | None,
        step: int = 0,
    ) -> None:
        self._training = training
        self._evaluation = evaluation
        self._predictions = predictions
        self._class_axis = class_axis
        self._answered: dict[tuple[str, int, str], StepAnswer] = {}
        self._steps, self._place, self._batch_id = step, 0, ""

    def count_steps(self) -> int:
        """Return how many steps are done."""
        return self._steps

    def step(
        self,
        crossings: Mapping[str, Array],
        labels: Array | None,
        learning_rate: float,
        step: int,
        batch_id: str,
    ) -> StepAnswer:
        """Run the next stage of a step; see `run_stage`."""
        return self.run_stage(
            StepRequest(
                stage=self._training.stages[self._place],
                crossings=crossings,
                labels=labels,
                learning_rate=learning_rate,
                step=step,
                batch_id=batch_id,
            )
        )

    def run_stage(self, request: StepRequest) -> StepAnswer:
        """Run one stage of a training step; see `onnxsplit.training.ports.ServerPort.run_stage`."""
        key = (request.stage, request.step, request.batch_id)
        if key in self._answered:
            return self._answered[key]
        self._check_turn(request)
        if self._place == 0:
            self._training.begin({})
            self._answered.clear()
        outcome = self._training.run(request.stage, request.crossings, give(request))
        answer = StepAnswer(
            step=request.step,
            batch_id=request.batch_id,
            crossings=outcome.sent,
            score=self._score(outcome, request.labels),
            seconds=outcome.seconds,
        )
        self._answered[key] = answer
        self._batch_id = request.batch_id
        self._place += 1
        if self._place == len(self._training.stages):
            self._place, self._steps = 0, request.step
        return answer

    def evaluate(self, request: EvaluationRequest) -> StepAnswer:
        """Run one stage of an evaluation."""
        if request.stage not in self._evaluation.stages:
            raise RequestError(f"The server has no stage {request.stage!r}.", status=404)
        if request.stage == self._evaluation.stages[0]:
            self._evaluation.begin({})
        given = {} if request.labels is None else {"label": request.labels}
        outcome = self._evaluation.run(request.stage, request.crossings, given)
        return StepAnswer(
            step=self._steps,
            batch_id="",
            crossings=outcome.sent,
            score=self._score(outcome, request.labels),
            seconds=outcome.seconds,
        )

    def read_state(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Return the server's state, or some tensors of it."""
        return self._training.state.read(names)

    def write_state(self, state: Mapping[str, Array], *, step: int) -> None:
        """Replace the server's state by that after a step."""
        missing = set(self._training.state.names) - set(state)
        if missing:
            raise UsageError(f"The state lacks {min(missing)!r}; it belongs to another training.")
        self._training.state.write(state)
        self._answered.clear()
        self._steps, self._place, self._batch_id = step, 0, ""

    def close(self) -> None:
        """Let go of the stages."""
        self._training.close()
        self._evaluation.close()

    def _check_turn(self, request: StepRequest) -> None:
        """Refuse a step or a stage whose turn it is not."""
        if request.stage not in self._training.stages:
            raise RequestError(f"The server has no stage {request.stage!r}.", status=404)
        if request.step != self._steps + 1:
            raise RequestError(
                f"Step {request.step} was asked for, and the server's next step is"
                f" {self._steps + 1}; resume both halves from the same checkpoint.",
                status=_CONFLICT,
            )
        expected = self._training.stages[self._place]
        restarts = request.stage == self._training.stages[0]
        if restarts:  # a device that was cut off within the step begins it anew
            self._place = 0
        elif request.stage != expected or request.batch_id != self._batch_id:
            raise RequestError(
                f"Stage {request.stage!r} of batch {request.batch_id!r} was asked for, and it is"
                f" the turn of {expected!r} of batch {self._batch_id!r}.",
                status=_CONFLICT,
            )

    def _score(self, outcome: StageOutcome, labels: Array | None) -> Score | None:
        """Score what a stage made, if it took the loss."""
        if LOSS not in outcome.results or labels is None:
            return None
        predictions = outcome.results.get(self._predictions)
        return score_batch(outcome.results[LOSS], predictions, labels, self._class_axis)


def give(request: StepRequest) -> dict[str, Array]:
    """Return what is told with a step, as arrays that stages take."""
    given = {
        "learning_rate": np.asarray(request.learning_rate, np.float64),
        "step": np.asarray(request.step, np.int64),
    }
    return given if request.labels is None else {**given, "label": request.labels}
