"""The split against the unsplit step: losses and all state, bit for bit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.engines.stateful_port import StateBuffers, StatefulSession
from onnxsplit.errors import ParityError
from onnxsplit.training.data import Batch
from onnxsplit.training.device import DeviceHalf
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.stages import LOSS

_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far the halves were held against the whole.

    Parameters
    ----------
    steps : int
    tensors : int
        Of the state, all equal in every bit.
    saved_bytes : int
        The most that waited on the device for its way back.
    sent_bytes, received_bytes : int
        Of a step: up from the device, and down to it.
    """

    steps: int
    tensors: int
    saved_bytes: int
    sent_bytes: int
    received_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as a manifest holds it."""
        return {
            "equal": "bit for bit",
            "steps": self.steps,
            "tensors": self.tensors,
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
        }


def check_agreement(
    device: DeviceHalf,
    server: ServerPort,
    whole: StatefulSession,
    state: StateBuffers,
    batches: Sequence[Batch],
) -> Agreement:
    """Train the halves and the whole on the same batches.

    Parameters
    ----------
    device, server
        Before their first step.
    whole : StatefulSession
        The same nodes in one graph, over the same first state.
    state : StateBuffers
        Of the whole.
    batches : sequence of Batch
        At least one.

    Raises
    ------
    ParityError
        A loss or a tensor of the state differs in a bit; the first is named.
    """
    sizes = []
    for step, batch in enumerate(batches, start=1):
        figures = device.step(server, batch, _RATE, step)
        made = whole.run(_feed(whole, batch, step))
        expected, found = np.asarray(made[LOSS]).reshape(()), figures.score.loss
        if not _is_same(np.asarray(expected, np.float64), np.asarray(found, np.float64)):
            raise ParityError(
                f"The halves' loss at step {step} is {found!r}, and the whole's {float(expected)!r}"
            )
        sizes.append((figures.saved_bytes, figures.sent_bytes, figures.received_bytes))
    tensors = _compare({**device.read_state(), **server.read_state()}, state.read())
    saved, sent, received = (max(column) for column in zip(*sizes, strict=True))
    return Agreement(
        steps=len(batches),
        tensors=tensors,
        saved_bytes=saved,
        sent_bytes=sent,
        received_bytes=received,
    )


def _feed(whole: StatefulSession, batch: Batch, step: int) -> dict[str, Array]:
    """Return what the whole takes in a step."""
    values = {
        **batch.inputs,
        "label": batch.label,
        "learning_rate": np.asarray(_RATE, np.float64),
        "step": np.asarray(step, np.int64),
    }
    return {spec.name: values[spec.name] for spec in whole.inputs}


def _compare(found: Mapping[str, Array], expected: Mapping[str, Array]) -> int:
    """Compare all tensors and return how many there are."""
    for name, value in expected.items():
        if name not in found or not _is_same(found[name], value):
            raise ParityError(f"The halves' {name!r} differs from the whole's after training")
    return len(expected)


def _is_same(one: Array, other: Array) -> bool:
    """Tell whether two arrays are equal in every bit."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()
