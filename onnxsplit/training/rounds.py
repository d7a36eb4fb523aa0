"""Several clients: rounds in which each learns from its own data, and how their halves meet.

Schemes after Thapa et al., "SplitFed: When Federated Learning Meets Split Learning", AAAI 2022:

* ``sequential``: plain split learning. The device's half is handed from client to client, in the
  order in which their data was given.
* ``splitfed-v1``: every client begins the round with the same device's half and with a server's
  half of its own; after the round the device's halves are averaged, and so are the server's.
* ``splitfed-v2``: every client begins the round with the same device's half; one server's half
  learns from all of them, one client after the other in an order that is drawn for each round;
  after the round the device's halves are averaged.

Averages are weighted by the examples that a client learnt from, taken in float64, and taken of all
state: parameters, what the optimizer keeps, and running statistics. Thapa et al. average
parameters and leave the rest open.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.training.data import TrainingData
from onnxsplit.training.device import DeviceHalf
from onnxsplit.training.loop import Course, Standing, Watch, check_loss, score_data
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.results import EpochFigures
from onnxsplit.training.scores import Tally

Scheme = Literal["sequential", "splitfed-v1", "splitfed-v2"]
SCHEMES: tuple[Scheme, ...] = ("sequential", "splitfed-v1", "splitfed-v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Clients and the scheme by which they learn.

    Parameters
    ----------
    clients : tuple of TrainingData
        What each learns from; at least one.
    scheme : str
    seed : int
        Of the order in a round of ``splitfed-v2``.
    """

    clients: tuple[TrainingData, ...]
    scheme: Scheme = "sequential"
    seed: int = 0

    def order(self, epoch: int) -> list[int]:
        """Return in which order the clients learn in a round."""
        return order_clients(len(self.clients), self.scheme, seed=self.seed, epoch=epoch)

    def count(self) -> int | None:
        """Return by how many steps a round brings the halves on; None if that is not known."""
        counts = [data.count() for data in self.clients]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        return max(known) if self.scheme == "splitfed-v1" else sum(known)


@dataclass(slots=True)
class _Round:
    """What the clients of a round made so far."""

    rows: list[int] = field(default_factory=list)
    device: list[dict[str, Array]] = field(default_factory=list)
    server: list[dict[str, Array]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    steps: int = 0


def run_rounds(
    device: DeviceHalf,
    server: ServerPort,
    fleet: Fleet,
    course: Course,
    standing: Standing,
    watch: Watch,
) -> Iterator[EpochFigures]:
    """Train several clients, and yield each round that is finished.

    Parameters
    ----------
    device : DeviceHalf
        Plays all clients, one after the other.
    server : ServerPort
    fleet : Fleet
    course : Course
        Its data is not read: each client has its own.
    standing : Standing
        At the beginning of a round.
    watch : callable

    Raises
    ------
    UsageError
        A client has no data.
    OnnxSplitError
        A half fails.
    """
    while standing.epoch <= course.epochs and not _is_over(course, standing):
        started = time.perf_counter()
        done = _run_round(device, server, fleet, course, standing, watch)
        done.seconds["total"] = time.perf_counter() - started
        figures = EpochFigures(
            epoch=standing.epoch,
            steps=done.steps,
            score=done.tally.total(),
            evaluation=score_data(device, server, course.evaluation),
            learning_rate=course.schedule.at(standing.step),
            seconds=done.seconds,
        )
        standing.epoch, standing.place, standing.tally = standing.epoch + 1, 0, Tally()
        yield figures


def order_clients(count: int, scheme: Scheme, *, seed: int, epoch: int) -> list[int]:
    """Return in which order clients learn in a round: as given, but for ``splitfed-v2``.

    Parameters
    ----------
    count : int
    scheme : str
    seed : int
    epoch : int
        The round, counted from 1.
    """
    places = np.arange(count)
    if scheme == "splitfed-v2":
        places = np.random.default_rng([seed, epoch]).permutation(places)
    return [int(place) for place in places]


def average(states: Sequence[Mapping[str, Array]], weights: Sequence[float]) -> dict[str, Array]:
    """Return the weighted mean of some states, tensor by tensor.

    Parameters
    ----------
    states : sequence of mapping of str to array
        Of the same names, types and shapes.
    weights : sequence of float
        Not negative, and not all 0.
    """
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    return {
        name: np.asarray(
            sum(
                share * np.asarray(state[name], np.float64)
                for share, state in zip(shares, states, strict=True)
            )
        ).astype(value.dtype)
        for name, value in states[0].items()
    }


def _run_round(
    device: DeviceHalf,
    server: ServerPort,
    fleet: Fleet,
    course: Course,
    standing: Standing,
    watch: Watch,
) -> _Round:
    """Let every client learn once from all of its data, and bring their halves together."""
    done, first = _Round(), standing.step
    device_state = device.read_state()
    server_state = server.read_state() if fleet.scheme == "splitfed-v1" else {}
    last = first
    for client in fleet.order(standing.epoch):
        if fleet.scheme != "sequential":
            device.write_state(device_state)
        if fleet.scheme == "splitfed-v1":
            server.write_state(server_state, step=first)
            standing.step = first
        _learn(device, server, fleet.clients[client], course, standing, watch, done)
        last = max(last, standing.step)
        if fleet.scheme != "sequential":
            done.device.append(device.read_state())
        if fleet.scheme == "splitfed-v1":
            done.server.append(server.read_state())
    standing.step = last
    if fleet.scheme != "sequential":
        device.write_state(average(done.device, done.rows))
    if fleet.scheme == "splitfed-v1":
        server.write_state(average(done.server, done.rows), step=last)
    return done


def _learn(
    device: DeviceHalf,
    server: ServerPort,
    data: TrainingData,
    course: Course,
    standing: Standing,
    watch: Watch,
    done: _Round,
) -> None:
    """Let one client learn from all of its data."""
    rows = 0
    left = None if course.most_steps is None else max(0, course.most_steps - standing.step)
    standing.place = 0
    for batch in islice(data.epoch(standing.epoch), left):
        rate = course.schedule.at(standing.step + 1)
        figures = device.step(server, batch, rate, standing.step + 1)
        check_loss(figures, standing.step + 1)
        standing.step += 1
        standing.place += 1
        standing.tally.add(figures.score)
        done.tally.add(figures.score)
        done.steps += 1
        rows += figures.score.rows
        for stage, spent in figures.seconds.items():
            done.seconds[stage] = done.seconds.get(stage, 0.0) + spent
        watch(standing, figures)
    if not rows and left != 0:
        raise UsageError("A client's data has no batches, so there is nothing to learn from.")
    done.rows.append(rows)


def _is_over(course: Course, standing: Standing) -> bool:
    """Tell whether the most steps are done."""
    return course.most_steps is not None and standing.step >= course.most_steps
