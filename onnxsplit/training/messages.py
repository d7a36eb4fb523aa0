"""Training steps as messages of the Open Inference Protocol: names, parameters, and both ways."""

from collections.abc import Mapping
from typing import Any

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.runtime.messages import InferRequest, InferResponse, Parameter
from onnxsplit.runtime.session_models import COMPUTE_SECONDS
from onnxsplit.training.ports import EvaluationRequest, StepAnswer, StepRequest
from onnxsplit.training.scores import Score

LABEL = "label"
STATE = "state"
"""The model, beside those of the stages, that reads and writes the server's state."""

FINGERPRINT = "training_sha256"
"""The fact by which both halves know that they are of one bundle."""

CLIENT, STEP, BATCH_ID, LEARNING_RATE = "client", "step", "batch_id", "learning_rate"
WRITE, WRITE_PART, WRITE_LAST = "write", "part", "last"
RENEW, DROP = "renew", "drop"


def name_model(base: str, stage: str) -> str:
    """Return the name under which a stage, or the state, is served.

    Examples
    --------
    >>> name_model("digits", "server_train")
    'digits.server_train'
    """
    return f"{base}.{stage}"


def write_step(base: str, request: StepRequest, client: str) -> InferRequest:
    """Write a step's request."""
    return InferRequest(
        model=name_model(base, request.stage),
        inputs=_join(request.crossings, request.labels),
        id=f"{request.step}:{request.batch_id}",
        parameters={
            STEP: request.step,
            BATCH_ID: request.batch_id,
            LEARNING_RATE: float(request.learning_rate),
            **({CLIENT: client} if client else {}),
        },
    )


def read_step(stage: str, request: InferRequest) -> StepRequest:
    """Read a step's request.

    Raises
    ------
    RequestError
        A parameter is missing or malformed.
    """
    crossings = dict(request.inputs)
    labels = crossings.pop(LABEL, None)
    rate = _demand(request.parameters, LEARNING_RATE, (int, float))
    return StepRequest(
        stage=stage,
        crossings=crossings,
        labels=labels,
        learning_rate=float(rate),
        step=read_count(request.parameters, STEP),
        batch_id=_demand(request.parameters, BATCH_ID, (str,)),
    )


def write_evaluation(base: str, request: EvaluationRequest, client: str) -> InferRequest:
    """Write an evaluation's request."""
    return InferRequest(
        model=name_model(base, request.stage),
        inputs=_join(request.crossings, request.labels),
        parameters={CLIENT: client} if client else {},
    )


def read_evaluation(stage: str, request: InferRequest) -> EvaluationRequest:
    """Read an evaluation's request."""
    crossings = dict(request.inputs)
    labels = crossings.pop(LABEL, None)
    return EvaluationRequest(stage=stage, crossings=crossings, labels=labels)


def write_answer(
    model: str, version: str, request: InferRequest, answer: StepAnswer
) -> InferResponse:
    """Write what a stage made; a loss travels as text, for it may be no number."""
    parameters: dict[str, Parameter] = {
        STEP: answer.step,
        BATCH_ID: answer.batch_id,
        COMPUTE_SECONDS: answer.seconds,
    }
    if answer.score is not None:
        parameters |= {"loss": repr(answer.score.loss), "rows": answer.score.rows}
        if answer.score.correct is not None:
            parameters |= {"correct": answer.score.correct, "labels": answer.score.labels}
    return InferResponse(
        model=model,
        version=version,
        id=request.id,
        outputs=answer.crossings,
        parameters=parameters,
    )


def read_answer(response: InferResponse, travel_seconds: float) -> StepAnswer:
    """Read what a stage made.

    Parameters
    ----------
    response : InferResponse
    travel_seconds : float
        From the request to the response, what the server computed included.

    Raises
    ------
    ProtocolError
        A parameter is missing or malformed.
    """
    told: Mapping[str, Any] = response.parameters
    try:
        seconds = float(told[COMPUTE_SECONDS])
        return StepAnswer(
            step=int(told[STEP]),
            batch_id=str(told[BATCH_ID]),
            crossings=dict(response.outputs),
            score=_read_score(told),
            seconds=seconds,
            travel_seconds=max(0.0, travel_seconds - seconds),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(
            f"The answer of {response.model!r} is none to a training step: {error!r}."
        ) from error


def read_count(parameters: Mapping[str, Parameter], name: str) -> int:
    """Read a whole number that is not negative; RequestError if it is missing or something else."""
    value = _demand(parameters, name, (int,))
    if value < 0:
        raise RequestError(f"The parameter {name!r} is {value}; it can't be negative.")
    return int(value)


def read_client(parameters: Mapping[str, Parameter]) -> str:
    """Read whose half is meant; RequestError if it is no text."""
    return str(_demand({CLIENT: "", **parameters}, CLIENT, (str,)))


def _demand(parameters: Mapping[str, Parameter], name: str, kinds: tuple[type, ...]) -> Any:  # noqa: ANN401 - of one of the kinds
    """Return a parameter of one of some kinds."""
    value = parameters.get(name)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise RequestError(f"The parameter {name!r} must be a {wanted}, not {value!r}.")
    return value


def _read_score(told: Mapping[str, Any]) -> Score | None:
    """Read the score, if there is one."""
    if "loss" not in told:
        return None
    return Score(
        loss=float(told["loss"]),
        rows=int(told["rows"]),
        correct=int(told["correct"]) if "correct" in told else None,
        labels=int(told.get("labels", 0)),
    )


def _join(crossings: Mapping[str, Array], labels: Array | None) -> dict[str, Array]:
    """Put labels beside what crosses."""
    return dict(crossings) if labels is None else {**crossings, LABEL: labels}
