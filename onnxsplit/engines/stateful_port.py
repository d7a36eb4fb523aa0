"""The port for models with a state: tensors that one run leaves behind for the next.

A training stage reads its parameters from a `StateBuffers` and writes the updated ones beside
them; after the run the two change places. Nothing is copied, and nothing is written where it is
still read: running in place is not safe, for operators may read a parameter after its update.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from onnxsplit.engines.port import Array
from onnxsplit.graph import TensorSpec


class HeldTensor(Protocol):
    """A tensor in the engine's own memory, as one run left it there for another."""

    @property
    def size_bytes(self) -> int:
        """Elements times item size."""

    def fetch(self) -> Array:
        """Copy it out."""


class StateBuffers(Protocol):
    """Named tensors in the engine's memory, each in two buffers: the current and the next."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order."""

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Copy the current values out: of these names, or all.

        Raises
        ------
        UsageError
            A name is unknown.
        """

    def write(self, values: Mapping[str, Array]) -> None:
        """Replace current values.

        Raises
        ------
        UsageError
            A name is unknown, or a value has another type or shape.
        """


class StatefulSession(Protocol):
    """A model that is loaded and bound to state; also what closes it.

    Not safe for use from several threads at once.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that must be fed beside the state, in order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs beside the state, in order."""

    def run(
        self, feeds: Mapping[str, Array | HeldTensor], *, keep: Collection[str] = ()
    ) -> dict[str, Array | HeldTensor]:
        """Run once; the state moves on only if the run succeeds.

        Parameters
        ----------
        feeds : mapping of str to array or HeldTensor
        keep : collection of str
            Outputs that stay in the engine's memory, as `HeldTensor`; others are copied out.

        Raises
        ------
        UsageError
            An input is missing or unknown.
        ModelError
            The model fails on these inputs.
        """

    def close(self) -> None:
        """Let go of the model; the state stays. Closing twice is allowed."""
