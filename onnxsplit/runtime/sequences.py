"""States that a server keeps between the requests of a sequence."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from onnxsplit.engines.port import Array
from onnxsplit.errors import RequestError
from onnxsplit.runtime.messages import InferRequest, InferResponse

SequenceId = int | str

_NOT_FOUND, _BUSY, _FULL = 404, 409, 429


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceStep:
    """What a request says of its sequence.

    Parameters
    ----------
    id : int or str
    is_start, is_end : bool
    """

    id: SequenceId
    is_start: bool
    is_end: bool

    @classmethod
    def of(cls, request: InferRequest) -> "SequenceStep":
        """Read the protocol's sequence parameters.

        Raises
        ------
        RequestError
            There is no id (0 and the empty string are none), or a parameter has another type.
        """
        name = request.parameters.get("sequence_id", 0)
        if isinstance(name, bool) or not isinstance(name, int | str):
            raise RequestError("The parameter 'sequence_id' must be a whole number or a string.")
        if not name:
            raise RequestError(
                f"The model {request.model!r} keeps a state for each sequence; give the parameters"
                " 'sequence_id' and, with the first request of a sequence, 'sequence_start'."
            )
        flags = {}
        for key in ("sequence_start", "sequence_end"):
            flags[key] = request.parameters.get(key, False)
            if not isinstance(flags[key], bool):
                raise RequestError(f"The parameter {key!r} must be true or false.")
        return cls(
            id=name, is_start=bool(flags["sequence_start"]), is_end=bool(flags["sequence_end"])
        )


@dataclass(slots=True, kw_only=True)
class Sequence:
    """One sequence between two requests.

    Parameters
    ----------
    used_seconds : float
        When it was last used, by the store's clock.
    states : mapping of str to array
        By the names of the inputs that take them; empty before the first run.
    answered : InferResponse or None
        The last response, for a client that lost it and asks again with the same id.
    lock : Lock
        Held while a request runs.
    """

    used_seconds: float
    states: Mapping[str, Array] = field(default_factory=dict)
    answered: InferResponse | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class SequenceStore:
    """Sequences by their ids, with a limit on their number and on how long one may rest.

    Parameters
    ----------
    limit : int
        Sequences at a time.
    expiry_seconds : float
        What was not used for so long is dropped.
    clock : callable
        Seconds from any beginning.
    """

    def __init__(
        self,
        *,
        limit: int,
        expiry_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._expiry_seconds = expiry_seconds
        self._clock = clock
        self._sequences: dict[SequenceId, Sequence] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the sequences, those that have expired included until the next request."""
        return len(self._sequences)

    @contextmanager
    def hold(self, step: SequenceStep) -> Iterator[Sequence]:
        """Hold a request's sequence while it runs; O(number of sequences).

        A sequence that starts anew replaces what was under its id. If the first run fails, no
        sequence has begun.

        Raises
        ------
        RequestError
            The sequence is not known (404), runs at this moment (409), or would be one too many
            (429).
        """
        sequence = self._take(step)
        is_new = not sequence.states
        try:
            yield sequence
        except BaseException:
            if is_new:
                self._drop(step.id, sequence)
            raise
        finally:
            sequence.used_seconds = self._clock()
            sequence.lock.release()

    def end(self, step: SequenceStep) -> None:
        """Forget a sequence."""
        with self._lock:
            self._sequences.pop(step.id, None)

    def clear(self) -> None:
        """Forget all sequences."""
        with self._lock:
            self._sequences.clear()

    def _take(self, step: SequenceStep) -> Sequence:
        """Find or begin a sequence, and lock it."""
        with self._lock:
            self._expire()
            sequence = self._sequences.get(step.id)
            if sequence is None:
                sequence = self._begin(step)
            if not sequence.lock.acquire(blocking=False):
                raise RequestError(
                    f"A request of the sequence {step.id!r} runs at this moment; send the next"
                    " when its response is here.",
                    status=_BUSY,
                )
            return sequence

    def _begin(self, step: SequenceStep) -> Sequence:
        """Begin a sequence, if it may."""
        if not step.is_start:
            raise RequestError(
                f"The sequence {step.id!r} is not known: it never started, has ended, or was not"
                f" used for {self._expiry_seconds:g} s; start it again with 'sequence_start'.",
                status=_NOT_FOUND,
            )
        if len(self._sequences) >= self._limit:
            raise RequestError(
                f"{self._limit} sequences are open, and no more may be; end one with"
                " 'sequence_end', or wait for one to expire.",
                status=_FULL,
            )
        sequence = Sequence(used_seconds=self._clock())
        self._sequences[step.id] = sequence
        return sequence

    def _expire(self) -> None:
        """Drop what was not used for too long; what runs is in use."""
        oldest = self._clock() - self._expiry_seconds
        for name, sequence in list(self._sequences.items()):
            if sequence.used_seconds < oldest and not sequence.lock.locked():
                del self._sequences[name]

    def _drop(self, name: SequenceId, sequence: Sequence) -> None:
        """Forget a sequence unless another has taken its place."""
        with self._lock:
            if self._sequences.get(name) is sequence:
                del self._sequences[name]
