"""The server's half of a training behind the Open Inference Protocol.

Each stage is a model of its own, named after the bundle and the stage; one more, ``state``, tells
and takes parameters, optimizer state and statistics, in as many messages as their size asks for.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError, RequestError, UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.tensor_checks import check_inputs
from onnxsplit.training import messages
from onnxsplit.training.hosting import HostedHalves
from onnxsplit.training.ports import StepAnswer
from onnxsplit.training.section import TrainingSection
from onnxsplit.training.server import ServerHalf
from onnxsplit.training.stages import StageFile, find_routes

Answer = Callable[[ServerHalf, str, InferRequest], StepAnswer]

_PLATFORM = "onnxsplit_training"


def serve_training(
    section: TrainingSection, base: str, halves: HostedHalves
) -> Iterator[ServedModel]:
    """Return the models by which a training's server half is reached.

    Parameters
    ----------
    section : TrainingSection
    base : str
        What their names begin with.
    halves : HostedHalves
        Shared by them, and closed with the last one.
    """
    facts = {messages.FINGERPRINT: section.fingerprint, "tier": section.tiers[1]}
    for stages, answer in ((section.stages, _run_step), (section.evaluation, _evaluate)):
        for metadata, stage in _describe_stages(section, stages, base):
            yield StageModel(
                halves,
                stage,
                ModelMetadata(
                    name=metadata.name,
                    inputs=metadata.inputs,
                    outputs=metadata.outputs,
                    platform=_PLATFORM,
                    parameters=facts,
                ),
                answer,
            )
    with halves.lend() as half:
        specs = tuple(_describe_array(name, value) for name, value in half.read_state().items())
    yield StateModel(
        halves,
        ModelMetadata(
            name=messages.name_model(base, messages.STATE),
            inputs=specs,
            outputs=specs,
            platform=_PLATFORM,
            parameters=facts,
        ),
    )


class StageModel:
    """A stage of a training step or of an evaluation; implements `runtime.ports.ServedModel`.

    Parameters
    ----------
    halves : HostedHalves
    stage : str
    metadata : ModelMetadata
    answer : callable
        Has a half run the stage.
    """

    def __init__(
        self, halves: HostedHalves, stage: str, metadata: ModelMetadata, answer: Answer
    ) -> None:
        self._halves = halves
        self._stage = stage
        self._metadata = metadata
        self._answer = answer

    @property
    def metadata(self) -> ModelMetadata:
        """What it takes and gives."""
        return self._metadata

    def infer(self, request: InferRequest) -> InferResponse:
        """Run the stage; see `onnxsplit.runtime.ports.ServedModel.infer`."""
        name = self._metadata.name
        check_inputs(name, request.inputs, self._metadata.inputs)
        client = messages.read_client(request.parameters)
        with _blaming_the_request(), self._halves.lend(client) as half:
            answer = self._answer(half, self._stage, request)
        return messages.write_answer(name, self._metadata.versions[-1], request, answer)

    def close(self) -> None:
        """Leave the halves to the model of the state, which comes last."""


class StateModel:
    """A half's state, read and written; implements `runtime.ports.ServedModel`.

    Parameters
    ----------
    halves : HostedHalves
        Closed with this.
    metadata : ModelMetadata
    """

    def __init__(self, halves: HostedHalves, metadata: ModelMetadata) -> None:
        self._halves = halves
        self._metadata = metadata
        self._parts: dict[str, dict[str, Array]] = {}
        self._written: dict[str, str] = {}

    @property
    def metadata(self) -> ModelMetadata:
        """What it takes and gives: all tensors of the state, of which a request names some."""
        return self._metadata

    def infer(self, request: InferRequest) -> InferResponse:
        """Read the wanted tensors, or write those that are given.

        The parameter ``write`` is ``part`` for tensors that others will follow, and ``last`` for
        the last ones: then all are written at once, as the state after ``step`` steps. With
        ``renew`` the state is the first one again, with ``drop`` a client's own half is let go.
        Without any of these the wanted outputs are told, with the steps that they have seen.
        """
        client = messages.read_client(request.parameters)
        with _blaming_the_request():
            if request.parameters.get(messages.DROP) is True:
                self._halves.drop(client)
                self._parts.pop(client, None)
                self._written.pop(client, None)
                return self._answer(request, {}, 0)
            if request.parameters.get(messages.RENEW) is True:
                self._halves.renew(client)
            with self._halves.lend(client) as half:
                if messages.WRITE in request.parameters:
                    self._write(half, client, request)
                wanted = self._choose(request)
                return self._answer(request, half.read_state(wanted), half.count_steps())

    def close(self) -> None:
        """Let go of all halves."""
        self._halves.close()

    def _write(self, half: ServerHalf, client: str, request: InferRequest) -> None:
        """Take a part of a state in, and write all of it with the last one.

        A writing that is known by its id is done already: its answer did not arrive.
        """
        if request.id and request.id == self._written.get(client):
            return
        known = {spec.name: spec for spec in self._metadata.inputs}
        given = [known[name] for name in request.inputs if name in known]
        check_inputs(self._metadata.name, request.inputs, given)
        kind = request.parameters[messages.WRITE]
        if kind not in {messages.WRITE_PART, messages.WRITE_LAST}:
            raise RequestError(f"The parameter 'write' must be 'part' or 'last', not {kind!r}.")
        parts = self._parts.setdefault(client, {})
        parts |= {name: value.copy() for name, value in request.inputs.items()}
        if kind == messages.WRITE_LAST:
            state = self._parts.pop(client)
            half.write_state(state, step=messages.read_count(request.parameters, messages.STEP))
            self._written[client] = request.id

    def _choose(self, request: InferRequest) -> tuple[str, ...]:
        """Return which tensors are wanted: none where something was written."""
        known = tuple(spec.name for spec in self._metadata.outputs)
        for name in request.outputs:
            if name not in known:
                raise RequestError(f"The state has no tensor {name!r}.")
        return request.outputs

    def _answer(
        self, request: InferRequest, outputs: Mapping[str, Array], steps: int
    ) -> InferResponse:
        """Answer with tensors and the steps that they have seen."""
        return InferResponse(
            model=self._metadata.name,
            version=self._metadata.versions[-1],
            id=request.id,
            outputs=outputs,
            parameters={messages.STEP: steps},
        )


def _run_step(half: ServerHalf, stage: str, request: InferRequest) -> StepAnswer:
    """Have a half learn."""
    return half.run_stage(messages.read_step(stage, request))


def _evaluate(half: ServerHalf, stage: str, request: InferRequest) -> StepAnswer:
    """Have a half score."""
    return half.evaluate(messages.read_evaluation(stage, request))


def _describe_stages(
    section: TrainingSection, stages: tuple[StageFile, ...], base: str
) -> Iterator[tuple[ModelMetadata, str]]:
    """Say what each stage of the server takes from the device and gives it."""
    routes = find_routes(stages)
    specs = {spec.name: spec for spec in section.inputs}
    specs |= {spec.name: spec for stage in stages for spec in (*stage.inputs, *stage.outputs)}
    for stage in stages:
        if stage.tier != section.tiers[1]:
            continue
        labels = (section.label,) if section.labels_at == "server" else ()
        yield (
            ModelMetadata(
                name=messages.name_model(base, stage.name),
                inputs=(*(specs[name] for name in routes.taken[stage.name]), *labels),
                outputs=tuple(specs[name] for name in routes.sent[stage.name]),
            ),
            stage.name,
        )


def _describe_array(name: str, value: Array) -> TensorSpec:
    """Say what an array is."""
    return TensorSpec(name=name, dtype=value.dtype.name, shape=value.shape)


@contextmanager
def _blaming_the_request() -> Iterator[None]:
    """Turn what a half says of values that do not fit into a refusal."""
    try:
        yield
    except RequestError:
        raise
    except (UsageError, ProtocolError) as error:
        raise RequestError(str(error)) from error
