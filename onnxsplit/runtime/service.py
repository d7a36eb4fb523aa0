"""What every server does whatever it speaks: admit, run, count, drain."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeVar

from onnxsplit.errors import (
    LinkTimeoutError,
    ModelError,
    RequestError,
    TransportError,
    UsageError,
)
from onnxsplit.runtime.messages import InferRequest, InferResponse
from onnxsplit.runtime.metrics import Metrics
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.session_models import COMPUTE_SECONDS

Result = TypeVar("Result")

_TOLD_BY_DEVICES = {
    "device_seconds": "onnxsplit_device_seconds",
    "network_seconds": "onnxsplit_network_seconds",
}
"""Parameters by which a device tells what its own part took, and that of the network last time."""

_LONGEST_TOLD_SECONDS = 3600.0
_TOO_MANY, _UNAVAILABLE = 429, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How much a service takes on.

    Parameters
    ----------
    workers : int
        Requests that run at a time.
    queue : int
        Requests that may wait besides; more are refused with the status 429.

    Raises
    ------
    UsageError
        A number is too small.
    """

    workers: int = 2
    queue: int = 64

    def __post_init__(self) -> None:
        """Refuse a service that can't run anything."""
        if self.workers < 1:
            raise UsageError(f"The number of workers is {self.workers}; give at least 1.")
        if self.queue < 0:
            raise UsageError(f"The length of the queue is {self.queue}; it can't be negative.")


class InferenceService:
    """Runs requests on served models; servers of all protocols share one.

    Parameters
    ----------
    repository : ModelRepository
        Taken over, and closed with this.
    options : ServiceOptions
    clock : callable
        Seconds from any beginning.
    """

    def __init__(
        self,
        repository: ModelRepository,
        options: ServiceOptions,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.repository = repository
        self.metrics = Metrics()
        self._clock = clock
        self._limit = options.workers + options.queue
        self._workers = ThreadPoolExecutor(options.workers, thread_name_prefix="onnxsplit-worker")
        self._idle = threading.Condition()
        self._pending = 0
        self._draining = False

    @property
    def pending(self) -> int:
        """Requests that wait or run now."""
        return self._pending

    @property
    def limit(self) -> int:
        """Requests that may wait or run; more are refused."""
        return self._limit

    def is_ready(self, model: str = "", version: str = "") -> bool:
        """Tell whether the service, or one of its models, takes requests.

        Raises
        ------
        RequestError
            There is no such model, with the status 404.
        """
        if model:
            self.repository.find(model, version)
        return not self._draining

    def check(self, model: str, version: str) -> None:
        """Tell beforehand whether `submit` would refuse; raises as it does."""
        self.repository.find(model, version)
        with self._idle:
            self._check_room()

    def submit(self, model: str, version: str, work: Callable[[], Result]) -> "Future[Result]":
        """Have a worker do something for a model, such as decode a request and `infer`.

        Parameters
        ----------
        model, version : str
            Whom it is for; looked up before anything is queued.
        work : callable
            Without arguments.

        Returns
        -------
        Future
            Of what the work returns or raises.

        Raises
        ------
        RequestError
            There is no such model (404), too much is waiting (429), or the service drains (503).
        """
        try:
            self.repository.find(model, version)
            self._admit()
        except RequestError as error:
            self.count_refusal(model, error.status)
            raise
        self.metrics.add("nv_inference_pending_request_count", 1, model=model)
        arrival = self._clock()
        future = self._workers.submit(self._run, model, work, arrival)
        future.add_done_callback(lambda _: self._release(model))
        return future

    def infer(self, request: InferRequest) -> InferResponse:
        """Run one request here and now, and count it; called within `submit`'s work.

        Raises
        ------
        OnnxSplitError
            As of `onnxsplit.runtime.ports.ServedModel.infer`; `find_status` tells its status.
        """
        model = self.repository.find(request.model, request.version)
        name = model.metadata.name
        response = model.infer(request)
        seconds = response.parameters.get(COMPUTE_SECONDS, 0.0)
        self._count_run(name, float(seconds), request)
        return response

    def count_refusal(self, model: str, status: int) -> None:
        """Count a request that was not answered; unknown models are counted together."""
        label = model if model in self.repository.names else ""
        self.metrics.add("nv_inference_request_failure", 1, model=label, reason=str(status))

    def drain(self, timeout_seconds: float) -> bool:
        """Take no more requests, and wait for those that were taken.

        Returns
        -------
        bool
            Whether all were answered in time.
        """
        with self._idle:
            self._draining = True
            return self._idle.wait_for(lambda: self._pending == 0, timeout_seconds)

    def close(self, *, wait: bool = True) -> None:
        """Drop what waits, end the workers and close the models; closing twice is allowed.

        Parameters
        ----------
        wait : bool
            For what runs; else it is left to itself, and its models open.
        """
        self._draining = True
        self._workers.shutdown(wait=wait, cancel_futures=True)
        if wait:
            self.repository.close()

    def __enter__(self) -> Self:
        """Return the service itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _admit(self) -> None:
        """Take one more request, or say why not."""
        with self._idle:
            self._check_room()
            self._pending += 1

    def _check_room(self) -> None:
        """Refuse a request while the service drains or is full."""
        if self._draining:
            raise RequestError("The server is about to stop; ask another one.", status=_UNAVAILABLE)
        if self._pending >= self._limit:
            raise RequestError(
                f"{self._pending} requests wait or run, and no more may; try again later.",
                status=_TOO_MANY,
            )

    def _release(self, model: str) -> None:
        """Let go of a request that was answered, failed or dropped."""
        self.metrics.add("nv_inference_pending_request_count", -1, model=model)
        with self._idle:
            self._pending -= 1
            self._idle.notify_all()

    def _run(self, model: str, work: Callable[[], Result], arrival: float) -> Result:
        """Do the work, and measure it."""
        self.metrics.add("nv_inference_queue_duration_us", self._clock() - arrival, model=model)
        try:
            result = work()
        except Exception as error:
            self.count_refusal(model, find_status(error))
            raise
        self.metrics.add("nv_inference_request_success", 1, model=model)
        self.metrics.add("nv_inference_request_duration_us", self._clock() - arrival, model=model)
        return result

    def _count_run(self, name: str, seconds: float, request: InferRequest) -> None:
        """Count a run, and what the device tells of its own part."""
        self.metrics.add("nv_inference_count", 1, model=name)
        self.metrics.add("nv_inference_exec_count", 1, model=name)
        self.metrics.add("nv_inference_compute_infer_duration_us", seconds, model=name)
        self.metrics.add("onnxsplit_server_seconds", seconds, model=name)
        for parameter, metric in _TOLD_BY_DEVICES.items():
            told = request.parameters.get(parameter)
            if isinstance(told, float | int) and 0 <= told <= _LONGEST_TOLD_SECONDS:
                self.metrics.add(metric, told, model=name)


def find_status(error: BaseException) -> int:
    """Return the HTTP status that says what an error means to a client.

    A model that fails on a request's inputs is the request's fault (400); the next server of a
    relay that fails is a bad gateway (502), one that is late a gateway timeout (504).
    """
    match error:
        case RequestError():
            return error.status
        case ModelError():
            return 400
        case LinkTimeoutError():
            return 504
        case TransportError():
            return 502
        case MemoryError():
            return _UNAVAILABLE
        case _:
            return 500
