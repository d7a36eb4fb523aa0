"""What travels between the halves: inference requests, their responses, and what a model takes.

These are the messages of the Open Inference Protocol, version 2, free of any transport's encoding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError
from onnxsplit.graph import TensorSpec

Parameter = bool | int | float | str
"""What the protocol allows as the value of a parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """Tensors for a model, and what is wanted of it.

    Parameters
    ----------
    model : str
        The served model's name.
    inputs : mapping of str to array
        By name, in order.
    version : str
        Empty for the server's choice.
    id : str
        The caller's name for this request; comes back with the response.
    outputs : tuple of str
        Wanted outputs, in order; empty for all.
    parameters : mapping of str to Parameter
        Such as ``sequence_id``, ``sequence_start`` and ``sequence_end``.
    """

    model: str
    inputs: Mapping[str, Array]
    version: str = ""
    id: str = ""
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    """What a model made of a request.

    Parameters
    ----------
    model : str
    outputs : mapping of str to array
        By name, in the order that was asked for.
    version : str
        Which version ran.
    id : str
        That of the request.
    parameters : mapping of str to Parameter
        Such as ``compute_seconds``, the time that the model took on the server.
    """

    model: str
    outputs: Mapping[str, Array]
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def arrange(self, wanted: tuple[str, ...]) -> Self:
        """Put outputs into the order that was asked for; servers may answer in one of their own.

        Raises
        ------
        ProtocolError
            One is missing.
        """
        for name in wanted:
            if name not in self.outputs:
                raise ProtocolError(f"The server left the output {name!r} out.")
        if not wanted:
            return self
        return replace(self, outputs={name: self.outputs[name] for name in wanted})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """What a served model takes and gives.

    Parameters
    ----------
    name : str
    inputs, outputs : tuple of TensorSpec
        Symbolic and unknown dims travel as -1.
    versions : tuple of str
    platform : str
        Such as ``onnxruntime_onnx``.
    parameters : mapping of str to Parameter
        Further facts; a stage tells ``model_sha256``, ``stage_sha256`` and ``tier`` here, by which
        the other half knows that it talks to the right one.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: tuple[str, ...] = ("1",)
    platform: str = "onnxruntime_onnx"
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
