"""The device's half of a split model: run a stage, cross the link, and cope when it is down."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, Protocol, Self

from onnxsplit.engines.port import Array
from onnxsplit.errors import (
    PeerMismatchError,
    ProtocolError,
    RequestError,
    TransportError,
    UntrustedPeerError,
)
from onnxsplit.runtime.answer_traces import trace_answer
from onnxsplit.runtime.breaker import Breaker
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.local_runs import LocalRun, check_names
from onnxsplit.runtime.messages import Parameter
from onnxsplit.runtime.remote_half import RemoteAnswer, RemoteHalf
from onnxsplit.runtime.run_traces import RunResult, RunTrace
from onnxsplit.runtime.split_cuts import RemotePart, SplitCut

Fallback = Literal["device", "error"]
"""What to do when the server is away: run the whole model here, or fail."""

DEFAULT_DEADLINE_SECONDS = 30.0
_AWAY = frozenset({429, 502})
"""A server has too much to do, or what it forwards to is away."""


class Chooser(Protocol):
    """Chooses which of several cuts runs next, and learns from what they took."""

    def choose(self) -> str:
        """Return the next cut."""

    def find_patience(self, cut: str) -> float:
        """Return how many seconds a request of a cut is waited for."""

    def observe(self, trace: RunTrace) -> None:
        """Learn from a run."""


class DeviceHalf:
    """Runs a split model from the device; also a context manager that closes it.

    Parameters
    ----------
    cuts : mapping of str to SplitCut
        By name; taken over.
    remote : RemoteHalf
        Taken over.
    chooser : Chooser, optional
        Without one the first cut runs always.
    load_whole : callable, optional
        Loads the whole model, for when the server is away; without it that is an error.
    deadline_seconds : float or None
        For a run from its inputs to its outputs, unless it is given one of its own.
    breaker : Breaker, optional
    stop_watching : callable, optional
        Ends what watches the link on a connection of the half's; called when that is closed.
    """

    def __init__(
        self,
        cuts: Mapping[str, SplitCut],
        remote: RemoteHalf,
        *,
        chooser: Chooser | None = None,
        load_whole: Callable[[], SplitCut] | None = None,
        deadline_seconds: float | None = DEFAULT_DEADLINE_SECONDS,
        breaker: Breaker | None = None,
        stop_watching: Callable[[], None] | None = None,
    ) -> None:
        self._cuts = dict(cuts)
        self._remote = remote
        self._chooser = chooser
        self._load_whole = load_whole
        self._whole: SplitCut | None = None
        self._deadline_seconds = deadline_seconds
        self._breaker = breaker or Breaker()
        self._stop_watching = stop_watching
        self._indices = itertools.count()
        self._network_seconds: float | None = None
        self._facts: dict[str, Mapping[str, Parameter]] = {}
        self._loading = threading.Lock()

    @property
    def remote(self) -> RemoteHalf:
        """The next tier."""
        return self._remote

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        deadline_seconds: float | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> RunResult:
        """Run the model once.

        Parameters
        ----------
        inputs : mapping of str to array
            The model's inputs; states that a tier keeps are none.
        deadline_seconds : float, optional
            Another deadline than that of all runs.
        parameters : mapping, optional
            ``sequence_id``, ``sequence_start`` and ``sequence_end``, for a model with states.

        Returns
        -------
        RunResult

        Raises
        ------
        UsageError
            An input is missing, unknown, or of another type or shape.
        LinkTimeoutError
            No answer within the deadline, and no whole model to fall back to.
        PeerMismatchError
            The server holds another half.
        UntrustedPeerError
            The server is not trusted, or does not let us in.
        TransportError
            The server is away or refuses, and there is no whole model to fall back to.
        ModelError
            A stage fails on the inputs.
        """
        return self.finish(
            self.begin(inputs, deadline_seconds=deadline_seconds, parameters=parameters)
        )

    def begin(
        self,
        inputs: Mapping[str, Array],
        *,
        deadline_seconds: float | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> LocalRun:
        """Run the device's stage alone; `finish` does the rest, and may do so in another thread."""
        start = time.perf_counter()
        deadline = Deadline.after(deadline_seconds or self._deadline_seconds)
        cut = self._choose()
        check_names(cut, inputs)
        response = cut.run_local(inputs, parameters or {})
        return LocalRun(
            index=next(self._indices),
            cut=cut,
            values={**inputs, **(response.outputs if response else {})},
            parameters=parameters or {},
            start_seconds=start,
            device_seconds=time.perf_counter() - start if response else 0.0,
            deadline=deadline,
            inputs=inputs,
        )

    def finish(self, run: LocalRun) -> RunResult:
        """Do what the cut leaves to others, or all of it here if they are away."""
        part = run.cut.remote
        if part is None:
            return self._report(run, RunTrace(index=run.index, route="device"), run.values)
        is_first = part.model not in self._facts
        try:
            answer = self._ask(part, run)
        except TransportError as error:
            if not _is_away(error):
                self._breaker.succeed()  # it answered
                raise
            self._breaker.fail()
            return self._fall_back(run, error)
        self._breaker.succeed()
        values = {**run.values, **answer.response.outputs}
        trace = trace_answer(run.index, answer)
        self._network_seconds = trace.network_seconds
        return self._report(run, replace(trace, is_fresh=trace.is_fresh or is_first), values)

    def close(self) -> None:
        """Close the connections and the stages; closing twice is allowed."""
        if self._stop_watching is not None:
            self._stop_watching()
        self._remote.close()
        for cut in (*self._cuts.values(), *((self._whole,) if self._whole else ())):
            cut.close()

    def __enter__(self) -> Self:
        """Return the half itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _choose(self) -> SplitCut:
        """Return the cut that runs next."""
        if self._chooser is None:
            return next(iter(self._cuts.values()))
        return self._cuts[self._chooser.choose()]

    def _ask(self, part: RemotePart, run: LocalRun) -> RemoteAnswer:
        """Ask the next tier, once it is known to be the right one and unless it is away."""
        # A chooser knows itself when the link is down, and learns when it is back.
        may_rest = self._load_whole is not None and self._chooser is None
        if may_rest and not run.cut.has_states and not self._breaker.may_ask():
            if not self._breaker.may_try():
                raise TransportError("The server was away a moment ago and is left alone.")
            if not self._remote.is_ready(part.model):
                raise TransportError("The server is still away.")
        if part.model not in self._facts:
            told = self._remote.shake_hands(part).parameters
            # A server that is not ours may refuse parameters that it does not know.
            self._facts[part.model] = {n: v for n, v in part.facts.items() if n in told}
        values = {name: run.values[name] for name in part.inputs}
        parameters = {**self._facts[part.model], **self._tell(part, run), **run.parameters}
        return self._remote.ask(part, values, parameters, self._limit(run))

    def _tell(self, part: RemotePart, run: LocalRun) -> Mapping[str, Parameter]:
        """Tell a server of ours what its metrics add up: our part, and the last run's network."""
        if not self._facts[part.model]:
            return {}
        last = self._network_seconds
        told = {"device_seconds": run.device_seconds}
        return told if last is None else {**told, "network_seconds": last}

    def _limit(self, run: LocalRun) -> Deadline:
        """Return until when an answer is waited for: where a link may go down, not to the last."""
        if self._chooser is None:
            return run.deadline
        patience = self._chooser.find_patience(run.cut.id)
        left = run.deadline.remaining_seconds
        return Deadline.after(patience if left is None else min(left, patience))

    def _fall_back(self, run: LocalRun, error: TransportError) -> RunResult:
        """Run the whole model here."""
        if self._load_whole is None or run.cut.has_states:
            raise error
        start = time.perf_counter()
        with self._loading:
            if self._whole is None:
                self._whole = self._load_whole()
        response = self._whole.run_local(run.inputs, {})
        seconds = run.device_seconds + time.perf_counter() - start
        trace = RunTrace(
            index=run.index, route="fallback", device_seconds=seconds, problem=str(error)
        )
        return self._report(run, trace, response.outputs if response else {})

    def _report(self, run: LocalRun, trace: RunTrace, values: Mapping[str, Array]) -> RunResult:
        """Gather the outputs, and say what the run took."""
        trace = replace(
            trace,
            cut=run.cut.id,
            device_seconds=trace.device_seconds or run.device_seconds,
            total_seconds=time.perf_counter() - run.start_seconds,
            predicted_seconds=run.cut.predicted_seconds,
        )
        if self._chooser is not None:
            self._chooser.observe(trace)
        return RunResult(outputs={name: values[name] for name in run.cut.outputs}, trace=trace)


def _is_away(error: TransportError) -> bool:
    """Tell whether the server can't be had now, rather than that something is wrong."""
    if isinstance(error, RequestError):
        return error.status in _AWAY
    return not isinstance(error, PeerMismatchError | ProtocolError | UntrustedPeerError)
