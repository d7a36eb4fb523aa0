"""What travels between the halves in training, free of any transport, and the server's port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from onnxsplit.engines.port import Array
from onnxsplit.training.scores import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """What a stage of the server is asked to run.

    Parameters
    ----------
    stage : str
    crossings : mapping of str to array
        Activations, or gradients.
    labels : array or None
        None where the labels live on the device, or where the server looks them up by the batch.
    learning_rate : float
    step : int
        Counted from 1 over the whole training.
    batch_id : str
        Of the examples: ``<epoch>/<place>``.
    """

    stage: str
    crossings: Mapping[str, Array]
    labels: Array | None
    learning_rate: float
    step: int
    batch_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswer:
    """What a stage of the server made.

    Parameters
    ----------
    step : int
    batch_id : str
        Those of the request.
    crossings : mapping of str to array
        Gradients, or predictions.
    score : Score or None
        None if the loss is not taken on the server.
    seconds : float
        Of computing.
    travel_seconds : float
        Of what is not computing: encoding, the network and decoding; 0 within one process.
    """

    step: int
    batch_id: str
    crossings: Mapping[str, Array]
    score: Score | None = None
    seconds: float = 0.0
    travel_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Examples whose loss is to be told, without learning from them.

    Parameters
    ----------
    stage : str
    crossings : mapping of str to array
    labels : array or None
        As for a step.
    """

    stage: str
    crossings: Mapping[str, Array] = field(default_factory=dict)
    labels: Array | None = None


class ServerPort(Protocol):
    """The server's half as the device sees it, near or far."""

    def run_stage(self, request: StepRequest) -> StepAnswer:
        """Run one stage of a training step.

        The same request again gets the same answer again, and nothing is learnt twice.

        Raises
        ------
        RequestError
            The step is not the next one, or the stage not the next of its step (status 409).
        OnnxSplitError
            The stage fails, or, of a server far away, the transport.
        """

    def evaluate(self, request: EvaluationRequest) -> StepAnswer:
        """Run one stage of an evaluation; the state stays as it is."""

    def count_steps(self) -> int:
        """Return how many steps the server's state has seen."""

    def read_state(self) -> dict[str, Array]:
        """Return the server's state."""

    def write_state(self, state: Mapping[str, Array], *, step: int) -> None:
        """Replace the server's state by that after a step.

        Raises
        ------
        UsageError
            A tensor is unknown, missing, or of another shape.
        """
