"""Several runs in flight: the device works on the next inputs while the last ones travel."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.runtime.device_half import DeviceHalf
from onnxsplit.runtime.messages import Parameter
from onnxsplit.runtime.run_traces import RunResult, RunTrace

WhenFull = Literal["block", "drop-oldest"]
Inputs = Mapping[str, Array]
Step = tuple[Inputs, Mapping[str, Parameter]]
"""Inputs, and the parameters of their sequence."""


@dataclass(slots=True)
class _Waiting:
    """Inputs that wait for the device, the newest few; what gives way is counted as dropped."""

    room: int
    items: deque[tuple[int, Step | None]] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_over: bool = False
    failure: BaseException | None = None

    def fill(self, steps: Iterable[Step]) -> None:
        """Take inputs as they come, in a thread of its own."""
        try:
            for index, step in enumerate(steps):
                with self.changed:
                    if self.is_over:
                        return
                    self._make_room()
                    self.items.append((index, step))
                    self.changed.notify()
        except BaseException as error:  # noqa: BLE001 - it is raised where results are read
            self.failure = error
        finally:
            with self.changed:
                self.is_over = True
                self.changed.notify()

    def take(self) -> tuple[int, Step | None] | None:
        """Return the oldest inputs, without them if they were dropped; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.is_over)
            if self.items:
                return self.items.popleft()
        if self.failure is not None:
            raise self.failure
        return None

    def stop(self) -> None:
        """Take no more."""
        with self.changed:
            self.is_over = True

    def _make_room(self) -> None:
        """Drop the oldest inputs where too many wait; the place in the order stays."""
        kept = [place for place, (_, step) in enumerate(self.items) if step is not None]
        if len(kept) >= self.room:
            index, _ = self.items[kept[0]]
            self.items[kept[0]] = (index, None)


def run_pipelined(
    half: DeviceHalf, steps: Iterable[Step], *, depth: int, when_full: WhenFull = "block"
) -> Iterator[RunResult]:
    """Run on one set of inputs after the other, with several in flight.

    Parameters
    ----------
    half : DeviceHalf
        With as many connections as the depth.
    steps : iterable of (mapping of str to array, mapping)
        Read as it gives: a live source takes its time.
    depth : int
        Runs in flight; 1 waits for each result before the next inputs are looked at.
    when_full : str
        ``block`` runs on everything; ``drop-oldest`` reads the source all the time and lets the
        newest wait, no more than the depth, so that results are never about the distant past.

    Yields
    ------
    RunResult
        In the order of the inputs, those that were dropped included.

    Raises
    ------
    UsageError
        The depth is not positive.
    OnnxSplitError
        A run fails; those in flight are waited for, and their results are lost.
    """
    if depth < 1:
        raise UsageError(f"The depth is {depth}; give at least 1.")
    if when_full == "block":
        yield from _run_all(half, enumerate(steps), depth)
        return
    waiting = _Waiting(room=depth)
    reader = threading.Thread(target=waiting.fill, args=(steps,), daemon=True)
    reader.start()
    try:
        yield from _run_all(half, iter(waiting.take, None), depth)
    finally:
        waiting.stop()


def _run_all(
    half: DeviceHalf, steps: Iterable[tuple[int, Step | None]], depth: int
) -> Iterator[RunResult]:
    """Run the device's stage here, and what follows it in threads."""
    flying: deque[Future[RunResult]] = deque()
    with ThreadPoolExecutor(depth, thread_name_prefix="onnxsplit-flight") as pool:
        for index, step in steps:
            flying.append(_begin(half, pool, index, step))
            while flying and (len(flying) >= depth or flying[0].done()):
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _begin(
    half: DeviceHalf, pool: ThreadPoolExecutor, index: int, step: Step | None
) -> "Future[RunResult]":
    """Run the device's stage, and send what it made on its way."""
    if step is None:
        dropped: Future[RunResult] = Future()
        dropped.set_result(RunResult(trace=RunTrace(index=index, route="dropped")))
        return dropped
    inputs, parameters = step
    run = replace(half.begin(inputs, parameters=parameters), index=index)
    return pool.submit(half.finish, run)
