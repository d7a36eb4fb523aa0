"""The device's half, which leads: a step runs through all stages, here and on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import InternalError, ProtocolError
from onnxsplit.training.data import Batch
from onnxsplit.training.half import Half
from onnxsplit.training.ports import EvaluationRequest, ServerPort, StepRequest
from onnxsplit.training.scores import Score, score_batch
from onnxsplit.training.stages import LOSS, StageFile

NETWORK = "network"
"""What a step's seconds call the time on the way to the server and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What a step tells.

    Parameters
    ----------
    score : Score
    seconds : mapping of str to float
        Stage to its computing, and ``network`` to all travelling, if there is any.
    sent_bytes, received_bytes : int
        Up from the device and down to it.
    saved_bytes : int
        The most that waited on the device for its way back.
    """

    score: Score
    seconds: Mapping[str, float]
    sent_bytes: int
    received_bytes: int
    saved_bytes: int


class DeviceHalf:
    """The device's half of a training.

    Parameters
    ----------
    training, evaluation : Half
        This tier's stages of a step and of an evaluation, over the same state.
    stages, evaluation_stages : sequence of StageFile
        Those of both tiers, in order.
    labels_at_server : bool
        Whether labels are sent, or looked up there, rather than kept here.
    predictions : str
    class_axis : int or None
    """

    def __init__(
        self,
        training: Half,
        evaluation: Half,
        *,
        stages: Sequence[StageFile],
        evaluation_stages: Sequence[StageFile],
        labels_at_server: bool,
        predictions: str,
        class_axis: int | None,
    ) -> None:
        self._training = training
        self._evaluation = evaluation
        self._stages = tuple(stages)
        self._evaluation_stages = tuple(evaluation_stages)
        self._labels_at_server = labels_at_server
        self._predictions = predictions
        self._class_axis = class_axis

    def step(self, server: ServerPort, batch: Batch, rate: float, step: int) -> StepFigures:
        """Learn from one batch, together with the server.

        Parameters
        ----------
        server : ServerPort
        batch : Batch
        rate : float
            The learning rate.
        step : int
            Counted from 1.

        Raises
        ------
        ProtocolError
            The server answers for another batch.
        OnnxSplitError
            A stage or the server fails; the state of the device is that before the step.
        """
        run = _Run(device=self._training, batch=batch, rate=rate, step=step)
        run.device.begin(batch.inputs)
        for stage in self._stages:
            if stage.tier == run.device.tier:
                run.compute(stage, self._predictions, self._class_axis)
            else:
                run.ask(stage, server, labels=batch.label if self._labels_at_server else None)
        return run.finish()

    def evaluate(self, server: ServerPort, batch: Batch) -> Score:
        """Score one batch without learning from it."""
        half = self._evaluation
        half.begin(batch.inputs)
        waiting: dict[str, Array] = {}
        arrivals: Mapping[str, Array] = {}
        score: Score | None = None
        for stage in self._evaluation_stages:
            if stage.tier == half.tier:
                outcome = half.run(stage.name, arrivals, {"label": batch.label})
                waiting |= outcome.sent
                if LOSS in outcome.results:
                    predictions = outcome.results.get(self._predictions)
                    score = score_batch(
                        outcome.results[LOSS], predictions, batch.label, self._class_axis
                    )
                continue
            answer = server.evaluate(
                EvaluationRequest(
                    stage=stage.name,
                    crossings=_choose(waiting, half.takes(stage.name)),
                    labels=batch.label if self._labels_at_server else None,
                )
            )
            arrivals, score = answer.crossings, answer.score or score
        if score is None:
            raise InternalError("No stage of an evaluation takes the loss.")
        return score

    def read_state(self) -> dict[str, Array]:
        """Return the device's state."""
        return self._training.state.read()

    def write_state(self, state: Mapping[str, Array]) -> None:
        """Replace the device's state."""
        self._training.state.write(state)

    def close(self) -> None:
        """Let go of the stages."""
        self._training.close()
        self._evaluation.close()


class _Run:
    """One step on its way through the stages."""

    def __init__(self, *, device: Half, batch: Batch, rate: float, step: int) -> None:
        self.device = device
        self._batch = batch
        self._rate = rate
        self._step = step
        self._waiting: dict[str, Array] = {}
        self._arrivals: dict[str, Array] = {}
        self._seconds: dict[str, float] = {}
        self._score: Score | None = None
        self._sent = self._received = self._saved = 0

    def compute(self, stage: StageFile, predictions: str, class_axis: int | None) -> None:
        """Run a stage of the device."""
        given = {
            "label": self._batch.label,
            "learning_rate": np.asarray(self._rate, np.float64),
            "step": np.asarray(self._step, np.int64),
        }
        outcome = self.device.run(stage.name, self._arrivals, given)
        self._arrivals = {}
        self._waiting |= outcome.sent
        self._seconds[stage.name] = outcome.seconds
        self._saved = max(self._saved, outcome.saved_bytes)
        if LOSS in outcome.results:
            made = outcome.results.get(predictions)
            self._score = score_batch(outcome.results[LOSS], made, self._batch.label, class_axis)

    def ask(self, stage: StageFile, server: ServerPort, *, labels: Array | None) -> None:
        """Have the server run a stage."""
        crossings = _choose(self._waiting, self.device.takes(stage.name))
        self._sent += sum(value.nbytes for value in crossings.values())
        answer = server.run_stage(
            StepRequest(
                stage=stage.name,
                crossings=crossings,
                labels=labels,
                learning_rate=self._rate,
                step=self._step,
                batch_id=self._batch.id,
            )
        )
        if (answer.step, answer.batch_id) != (self._step, self._batch.id):
            raise ProtocolError(
                f"The server answered for batch {answer.batch_id!r} of step {answer.step}, and"
                f" {self._batch.id!r} of step {self._step} was asked for."
            )
        self._received += sum(value.nbytes for value in answer.crossings.values())
        self._arrivals |= answer.crossings
        self._seconds[stage.name] = answer.seconds
        if answer.travel_seconds:
            travelled = self._seconds.get(NETWORK, 0.0) + answer.travel_seconds
            self._seconds[NETWORK] = travelled
        self._score = answer.score or self._score

    def finish(self) -> StepFigures:
        """Return what the step told."""
        if self._score is None:
            raise InternalError("No stage of a training step takes the loss.")
        return StepFigures(
            score=self._score,
            seconds=self._seconds,
            sent_bytes=self._sent,
            received_bytes=self._received,
            saved_bytes=self._saved,
        )


def _choose(waiting: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Return the values that a stage of the other tier takes."""
    return {name: waiting[name] for name in names if name in waiting}
