"""A model whose states stay on the server, one set for each sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.datatypes import find_numpy_dtype, name_datatype
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.sequences import SequenceId, SequenceStep, SequenceStore
from onnxsplit.runtime.tensor_checks import check_inputs, check_outputs

_LAST_ANSWERS = 64
"""How many sequences that have ended are remembered by their last answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentState:
    """A state that a served model keeps.

    Parameters
    ----------
    past, present : str
        The input that takes it, and the output that becomes it.
    """

    past: str
    present: str


class StatefulModel:
    """Keeps states between requests; implements `onnxsplit.runtime.ports.ServedModel`.

    A sequence begins with zeros; a dim of a state that no input of the first request fixes by the
    same symbol is 0, so that a decoder's cache begins empty. A request that comes twice in a row
    with the same id (a client that lost the response) is answered from memory and does not run
    twice; ids must be unique within a sequence. Where a run fails, the states are as they were.

    Parameters
    ----------
    model : ServedModel
        Takes the pasts and gives the presents besides what it says now; taken over.
    states : sequence of ResidentState
    store : SequenceStore
    """

    def __init__(
        self, model: ServedModel, states: Sequence[ResidentState], store: SequenceStore
    ) -> None:
        self._model = model
        self._states = tuple(states)
        self._store = store
        self._last_answers: dict[SequenceId, InferResponse] = {}
        inner = model.metadata
        pasts = {state.past for state in states}
        presents = {state.present for state in states}
        self._pasts = tuple(spec for spec in inner.inputs if spec.name in pasts)
        self._metadata = replace(
            inner,
            inputs=tuple(spec for spec in inner.inputs if spec.name not in pasts),
            outputs=tuple(spec for spec in inner.outputs if spec.name not in presents),
            parameters={**inner.parameters, "stateful": True},
        )

    @property
    def metadata(self) -> ModelMetadata:
        """What it takes and gives besides its states."""
        return self._metadata

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer the next request of a sequence; see `onnxsplit.runtime.ports.ServedModel.infer`.

        Raises
        ------
        RequestError
            As of the model, and of `SequenceStore.hold`.
        """
        step = SequenceStep.of(request)
        check_inputs(self._metadata.name, request.inputs, self._metadata.inputs)
        check_outputs(self._metadata.name, request.outputs, self._metadata.outputs)
        last = self._last_answers.get(step.id)
        if last is not None and _answers(last, request):
            return last
        with self._store.hold(step) as sequence:
            if sequence.answered is not None and _answers(sequence.answered, request):
                return sequence.answered
            is_first = step.is_start or not sequence.states
            states = self._begin(request.inputs) if is_first else sequence.states
            response = self._run(request, states)
            sequence.states = {
                state.past: response.outputs[state.present] for state in self._states
            }
            sequence.answered = self._select(request, response)
            if step.is_end:
                self._end(step, sequence.answered)
            return sequence.answered

    def close(self) -> None:
        """Forget the sequences and close the model."""
        self._store.clear()
        self._last_answers.clear()
        self._model.close()

    def _end(self, step: SequenceStep, answer: InferResponse) -> None:
        """Forget a sequence, but for its last answer, which its client may have lost."""
        self._store.end(step)
        self._last_answers.pop(step.id, None)
        self._last_answers[step.id] = answer
        while len(self._last_answers) > _LAST_ANSWERS:
            self._last_answers.pop(next(iter(self._last_answers)), None)

    def _run(self, request: InferRequest, states: Mapping[str, Array]) -> InferResponse:
        """Run the model with its states."""
        wanted = request.outputs or tuple(spec.name for spec in self._metadata.outputs)
        presents = tuple(state.present for state in self._states)
        return self._model.infer(
            replace(request, inputs={**request.inputs, **states}, outputs=(*wanted, *presents))
        )

    def _select(self, request: InferRequest, response: InferResponse) -> InferResponse:
        """Keep the states back."""
        presents = {state.present for state in self._states}
        outputs = {name: value for name, value in response.outputs.items() if name not in presents}
        return replace(response, id=request.id, outputs=outputs)

    def _begin(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Make the states that a sequence begins with."""
        sizes = {
            dim: size
            for spec in self._metadata.inputs
            for dim, size in zip(spec.shape or (), inputs[spec.name].shape, strict=False)
            if isinstance(dim, str)
        }
        return {spec.name: _make_zeros(spec, sizes) for spec in self._pasts}


def _answers(response: InferResponse, request: InferRequest) -> bool:
    """Tell whether a response answered this very request before."""
    return bool(request.id) and response.id == request.id


def _make_zeros(spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    """Make a state of zeros, empty along what nothing fixes."""
    shape = tuple(
        dim if isinstance(dim, int) else sizes.get(dim or "", 0) for dim in spec.shape or ()
    )
    return np.zeros(shape, find_numpy_dtype(name_datatype(spec.name, spec.dtype)))
