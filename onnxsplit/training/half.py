"""One tier's half of the training: its stages, its state, and what waits between two stages."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.engines.stateful import OrtState, open_stateful
from onnxsplit.engines.stateful_port import HeldTensor, StatefulSession
from onnxsplit.errors import ProtocolError, UsageError
from onnxsplit.training.stages import GIVEN, LOSS, StageFile, find_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutcome:
    """What a stage made that leaves its half.

    Parameters
    ----------
    sent : mapping of str to array
        For the other tier.
    results : mapping of str to array
        Loss and predictions, where it makes them.
    seconds : float
        Computing, copies within the half included.
    saved_bytes : int
        What waits in memory for this half's later stages.
    """

    sent: Mapping[str, Array]
    results: Mapping[str, Array]
    seconds: float
    saved_bytes: int


class Half:
    """Runs the stages of one tier, in their order, step after step.

    Parameters
    ----------
    stages : sequence of StageFile
        Of both tiers, in the order in which they run.
    tier : str
    folder : Path
        Where the stages' files lie.
    state : OrtState
        Shared by all sessions of this tier.
    options : EngineOptions
    results : sequence of str
        The loss, and the predictions that it is taken of.
    """

    def __init__(
        self,
        stages: Sequence[StageFile],
        tier: str,
        folder: Path,
        state: OrtState,
        options: EngineOptions,
        *,
        results: Sequence[str],
    ) -> None:
        self.tier = tier
        self.state = state
        self._routes = find_routes(tuple(stages))
        self._stages = {stage.name: stage for stage in stages if stage.tier == tier}
        self._results = tuple(results)
        self._pool: dict[str, Array | HeldTensor] = {}
        self._sessions: dict[str, StatefulSession] = {}
        for stage in self._stages.values():
            self._sessions[stage.name] = open_stateful(
                folder / stage.file, state, stage.updates, options
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of this tier's stages, in order."""
        return tuple(self._stages)

    def takes(self, stage: str) -> tuple[str, ...]:
        """Return what a stage needs from the other tier."""
        return self._routes.taken[stage]

    def begin(self, values: Mapping[str, Array]) -> None:
        """Forget the last step's values and start with these."""
        self._pool = dict(values)

    def run(
        self, name: str, arrivals: Mapping[str, Array], given: Mapping[str, Array]
    ) -> StageOutcome:
        """Run one stage.

        Parameters
        ----------
        name : str
        arrivals : mapping of str to array
            From the other tier.
        given : mapping of str to array
            ``label``, ``learning_rate`` and ``step``; those that the stage reads are taken.

        Raises
        ------
        ProtocolError
            A value did not arrive.
        ModelError
            The stage fails.
        """
        stage = self._stages[name]
        self._pool.update(arrivals)
        feeds = {spec.name: self._find(name, spec.name, given) for spec in stage.inputs}
        kept = self._routes.kept[name]
        started = time.perf_counter()
        made = self._sessions[name].run(feeds, keep=kept)
        self._pool.update(made)
        sent = {value: _fetch(self._pool[value]) for value in self._routes.sent[name]}
        results = {}
        if LOSS in made:  # predictions may have been made earlier, or have arrived
            results = {v: _fetch(self._pool[v]) for v in self._results if v in self._pool}
        seconds = time.perf_counter() - started
        self._forget(name)
        return StageOutcome(
            sent=sent, results=results, seconds=seconds, saved_bytes=self._measure()
        )

    def close(self) -> None:
        """Let go of the stages; the state stays."""
        for session in self._sessions.values():
            session.close()
        self._pool.clear()

    def _find(self, stage: str, value: str, given: Mapping[str, Array]) -> Array | HeldTensor:
        """Return the value of a stage's input."""
        if value in GIVEN:
            if value not in given:
                raise UsageError(f"The stage {stage} needs {value!r}, and it was not given.")
            return given[value]
        with suppress(KeyError):
            return self._pool[value]
        raise ProtocolError(
            f"The stage {stage} needs {value!r} of this step, and it did not arrive; the stages"
            " must run in their order, each with what the last one of the other half sent."
        )

    def _forget(self, name: str) -> None:
        """Drop what no later stage of this half reads."""
        order = list(self._stages)
        later = order[order.index(name) + 1 :]
        needed = {spec.name for stage in later for spec in self._stages[stage].inputs}
        self._pool = {value: held for value, held in self._pool.items() if value in needed}

    def _measure(self) -> int:
        """Return the bytes that wait for a later stage."""
        return sum(
            value.nbytes if isinstance(value, np.ndarray) else value.size_bytes
            for value in self._pool.values()
        )


def _fetch(value: Array | HeldTensor) -> Array:
    """Copy a value out of the engine, if it is there."""
    return value if isinstance(value, np.ndarray) else value.fetch()
