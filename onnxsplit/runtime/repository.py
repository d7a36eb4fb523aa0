"""The models that a server serves, by name."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Self

from onnxsplit.errors import RequestError, UsageError, suggest
from onnxsplit.runtime.ports import ServedModel

_NOT_FOUND = 404


class ModelRepository:
    """Served models, each under its own name; also a context manager that closes them.

    Parameters
    ----------
    models : iterable of ServedModel
        Taken over, and closed with this.

    Raises
    ------
    UsageError
        Two models have one name, or a name can't stand in a URL.
    """

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models: dict[str, ServedModel] = {}
        for model in models:
            name = model.metadata.name
            if not name or "/" in name or not name.isprintable():
                raise UsageError(
                    f"The model's name {name!r} can't be served; give one without slashes with"
                    " --name."
                )
            if name in self._models:
                raise UsageError(
                    f"Two models would be served as {name!r}; give each a name of its own with"
                    " --name."
                )
            self._models[name] = model

    def __iter__(self) -> Iterator[ServedModel]:
        """Iterate over the models, in the order in which they were given."""
        return iter(self._models.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(self._models)

    def find(self, name: str, version: str = "") -> ServedModel:
        """Return a model.

        Parameters
        ----------
        name : str
        version : str
            Empty for whichever there is.

        Raises
        ------
        RequestError
            There is no such model, or not this version of it; with the status 404.
        """
        model = self._models.get(name)
        if model is None:
            raise RequestError(
                f"No model {name!r} is served here. {suggest(name, self._models)}",
                status=_NOT_FOUND,
            )
        versions = model.metadata.versions
        if version and version not in versions:
            raise RequestError(
                f"The model {name!r} has no version {version!r}; it has {', '.join(versions)}.",
                status=_NOT_FOUND,
            )
        return model

    def close(self) -> None:
        """Close all models, even if one fails to; closing twice is allowed."""
        with ExitStack() as stack:
            for model in self._models.values():
                stack.callback(model.close)

    def __enter__(self) -> Self:
        """Return the repository itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the models."""
        self.close()
