"""A stage between two others: it serves, and forwards what it makes to the next server."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.runtime.chain_ends import find_chain_inputs, find_chain_outputs
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.runtime.served_stages import find_facts, find_states
from onnxsplit.runtime.session_models import COMPUTE_SECONDS
from onnxsplit.runtime.split_cuts import RemotePart
from onnxsplit.runtime.tensor_checks import check_inputs, check_outputs
from onnxsplit.stage_entries import StageEntry

RELAY_SECONDS = "relay_seconds"
"""The response's parameter that tells how long the servers beyond took, their links included."""

_PASSED_ON = ("sequence_id", "sequence_start", "sequence_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRoute:
    """What goes where.

    Parameters
    ----------
    metadata : ModelMetadata
        What the stage and all beyond it take and give together.
    makes : frozenset of str
        What the stage itself gives, of what is wanted of it.
    next_tier : str
    part : RemotePart
        What the next server is asked for.
    """

    metadata: ModelMetadata
    makes: frozenset[str]
    next_tier: str
    part: RemotePart


class RelayedModel:
    """Runs its own stage and asks the next; implements `onnxsplit.runtime.ports.ServedModel`.

    The response tells ``compute_seconds`` of this stage, ``relay_seconds`` of all that lies beyond,
    and ``compute_seconds_TIER`` of each tier there.

    Parameters
    ----------
    own : ServedModel
        The stage; taken over.
    remote : RemoteHalf
        The next server; taken over.
    route : RelayRoute
    timeout_seconds : float
        For the next server's answer.

    Raises
    ------
    UsageError
        The timeout is not positive.
    """

    def __init__(
        self,
        own: ServedModel,
        remote: RemoteHalf,
        route: RelayRoute,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not timeout_seconds > 0:
            raise UsageError(f"The next server's time is {timeout_seconds} s; it must be positive.")
        self._own = own
        self._remote = remote
        self._route = route
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    @property
    def metadata(self) -> ModelMetadata:
        """What the stage and all beyond it take and give together."""
        return self._route.metadata

    def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request; see `onnxsplit.runtime.ports.ServedModel.infer`.

        Raises
        ------
        RequestError
            As of the stage, or the next server refuses what it is sent.
        ModelError
            The stage fails on the inputs.
        TransportError
            The next server can't be reached, is late, or answers wrongly.
        """
        metadata = self._route.metadata
        check_inputs(metadata.name, request.inputs, metadata.inputs)
        check_outputs(metadata.name, request.outputs, metadata.outputs)
        wanted = request.outputs or tuple(spec.name for spec in metadata.outputs)
        own = self._run_own(request, wanted)
        start = self._clock()
        beyond = self._ask_next(request, {**request.inputs, **own.outputs}, wanted)
        seconds = self._clock() - start
        made = {**own.outputs, **beyond.outputs}
        return replace(
            own,
            id=request.id,
            outputs={name: made[name] for name in wanted},
            parameters={**own.parameters, RELAY_SECONDS: seconds, **self._tell(beyond)},
        )

    def close(self) -> None:
        """Close the stage and the connections."""
        self._own.close()
        self._remote.close()

    def _run_own(self, request: InferRequest, wanted: tuple[str, ...]) -> InferResponse:
        """Run the stage, for what is wanted of it and what the next server needs."""
        takes = [spec.name for spec in self._own.metadata.inputs]
        gives = [spec.name for spec in self._own.metadata.outputs]
        needed = [name for name in self._route.part.inputs if name in gives]
        outputs = dict.fromkeys([*(n for n in wanted if n in self._route.makes), *needed])
        return self._own.infer(
            replace(
                request,
                inputs={name: request.inputs[name] for name in takes},
                outputs=tuple(outputs),
            )
        )

    def _ask_next(
        self, request: InferRequest, values: Mapping[str, Array], wanted: tuple[str, ...]
    ) -> InferResponse:
        """Ask the next server."""
        part = self._route.part
        part = replace(part, outputs=tuple(name for name in part.outputs if name in wanted))
        if not part.outputs and not part.has_states:
            return InferResponse(model=part.model, outputs={})
        told = {key: value for key, value in request.parameters.items() if key in _PASSED_ON}
        answer = self._remote.ask(
            part,
            {name: values[name] for name in part.inputs},
            {**told, **part.facts},
            Deadline.after(self._timeout_seconds),
            name=request.id,
        )
        return answer.response

    def _tell(self, beyond: InferResponse) -> dict[str, Parameter]:
        """Tell what each tier beyond took."""
        told = {
            key: value
            for key, value in beyond.parameters.items()
            if key.startswith(f"{COMPUTE_SECONDS}_")
        }
        if COMPUTE_SECONDS in beyond.parameters:
            told[f"{COMPUTE_SECONDS}_{self._route.next_tier}"] = beyond.parameters[COMPUTE_SECONDS]
        return told


def find_route(
    manifest: Manifest, stage: StageEntry, metadata: ModelMetadata, *, next_model: str
) -> RelayRoute | None:
    """Find what goes where for a stage; None for the last of the chain.

    Parameters
    ----------
    manifest : Manifest
    stage : StageEntry
    metadata : ModelMetadata
        What the stage takes and gives alone.
    next_model : str
        The name of the rest of the chain on the next server.
    """
    place = manifest.stages.index(stage)
    here, beyond = manifest.stages[place:], manifest.stages[place + 1 :]
    if not beyond:
        return None
    specs = find_chain_inputs(manifest, beyond)
    return RelayRoute(
        metadata=replace(
            metadata,
            inputs=find_chain_inputs(manifest, here),
            outputs=find_chain_outputs(manifest, here),
        ),
        makes=frozenset(spec.name for spec in find_chain_outputs(manifest, [stage])),
        next_tier=beyond[0].tier,
        part=RemotePart(
            model=next_model,
            inputs=tuple(spec.name for spec in specs),
            outputs=tuple(spec.name for spec in find_chain_outputs(manifest, beyond)),
            specs=specs,
            facts=find_facts(manifest, beyond[0]),
            has_states=any(find_states(manifest, entry.tier) for entry in beyond),
        ),
    )
