"""What is measured, and what it is measured with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Feeds, Session
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import LoadedModel
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.progress import Progress, SilentProgress


class OpenSession(Protocol):
    """What opens a session: `onnxsplit.engines.opening.open_session`, or a fake in its place."""

    def __call__(
        self,
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        """Load a model and make it ready to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be measured.

    Parameters
    ----------
    model : LoadedModel
        With unique node names.
    graph : OperatorGraph
        The graph of that model, with real sizes.
    feeds : mapping of str to value
        Inputs to run it on.
    """

    model: LoadedModel
    graph: OperatorGraph
    feeds: Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What it is measured with.

    Parameters
    ----------
    rule : StopRule
        When to stop.
    clock : callable
        Returns seconds.
    sleep : callable
        Waits for some seconds.
    progress : Progress
    open_session : callable
    """

    rule: StopRule = field(default_factory=StopRule)
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    progress: Progress = field(default_factory=SilentProgress)
    open_session: OpenSession = open_session
