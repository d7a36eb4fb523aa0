"""The parts of a training step, in the order in which they run, and which tier runs each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnxsplit.objectives import Side

DEVICE, SERVER, LOSS_PLACE = 0, 1, 2
"""Places of operators: a tier, or with the labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What runs where and when.

    Parameters
    ----------
    names : tuple of str
        Parts in order; each becomes the file ``<name>.onnx``.
    tiers : tuple of int
        The tier of each part.
    forward, backward : mapping of int to int
        Place of an operator to the part that holds its forward or backward pass.
    """

    names: tuple[str, ...]
    tiers: tuple[int, ...]
    forward: Mapping[int, int]
    backward: Mapping[int, int]

    def order_backward(self, places: Iterable[int]) -> int:
        """Return the part of a backward node that serves operators at these places."""
        return max(self.backward[place] for place in places)


WITH_LABELS_ON_SERVER = Schedule(
    names=("device_forward", "server_train", "device_backward"),
    tiers=(DEVICE, SERVER, DEVICE),
    forward={DEVICE: 0, SERVER: 1, LOSS_PLACE: 1},
    backward={DEVICE: 2, SERVER: 1, LOSS_PLACE: 1},
)
"""Two exchanges: activations up, gradients down."""

WITH_LABELS_ON_DEVICE = Schedule(
    names=("device_forward", "server_forward", "device_loss", "server_backward", "device_backward"),
    tiers=(DEVICE, SERVER, DEVICE, SERVER, DEVICE),
    forward={DEVICE: 0, SERVER: 1, LOSS_PLACE: 2},
    backward={DEVICE: 4, SERVER: 3, LOSS_PLACE: 2},
)
"""Three segments, so that labels stay private: predictions come down, their gradients go up."""

EVALUATION_ON_SERVER = Schedule(
    names=("device_eval", "server_eval"),
    tiers=(DEVICE, SERVER),
    forward={DEVICE: 0, SERVER: 1, LOSS_PLACE: 1},
    backward={},
)
EVALUATION_ON_DEVICE = Schedule(
    names=("device_eval", "server_eval", "loss_eval"),
    tiers=(DEVICE, SERVER, DEVICE),
    forward={DEVICE: 0, SERVER: 1, LOSS_PLACE: 2},
    backward={},
)
UNSPLIT = Schedule(
    names=("whole_train",),
    tiers=(SERVER,),
    forward={DEVICE: 0, SERVER: 0, LOSS_PLACE: 0},
    backward={DEVICE: 0, SERVER: 0, LOSS_PLACE: 0},
)
"""Everything in one graph: what every split must equal bit for bit."""


def schedule_training(labels_at: Side) -> Schedule:
    """Return the parts of a training step."""
    return WITH_LABELS_ON_SERVER if labels_at == "server" else WITH_LABELS_ON_DEVICE


def schedule_evaluation(labels_at: Side) -> Schedule:
    """Return the parts of an evaluation."""
    return EVALUATION_ON_SERVER if labels_at == "server" else EVALUATION_ON_DEVICE
