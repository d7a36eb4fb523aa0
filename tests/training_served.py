"""A transport within one process, that loses what it is told to lose."""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Self

from onnxsplit.errors import ConnectionLostError
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.ports import ServedModel


class LocalTransport:
    """Hands requests to models of this process; implements `onnxsplit.runtime.ports.Transport`.

    Parameters
    ----------
    models : mapping of str to ServedModel
    losing : iterator of str, optional
        What each message loses: nothing, the ``request``, or the ``answer``.
    """

    exchange: Exchange | None = None

    def __init__(
        self, models: Mapping[str, ServedModel], losing: Iterator[str] | None = None
    ) -> None:
        self._models = models
        self._losing = losing or repeat("")
        self.losses = 0

    def infer(
        self, request: InferRequest, *, timeout_seconds: float | None = None
    ) -> InferResponse:
        del timeout_seconds
        lost = next(self._losing)
        if lost == "request":
            self._lose()
        response = self._models[request.model].infer(request)
        if lost == "answer":
            self._lose()
        return response

    def describe_model(self, model: str, version: str = "") -> ModelMetadata:
        del version
        return self._models[model].metadata

    def is_ready(self, model: str = "") -> bool:
        return not model or model in self._models

    def close(self) -> None:
        """Leave the models open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lose(self) -> None:
        self.losses += 1
        raise ConnectionLostError("The connection broke.")
