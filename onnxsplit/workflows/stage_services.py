"""Models that are served, with the probe beside them, whatever speaks for them."""

from collections.abc import Iterable
from contextlib import ExitStack

from onnxsplit.engines.environment import count_cores
from onnxsplit.engines.opening import open_session
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.served_probe import load_probe
from onnxsplit.runtime.service import InferenceService, ServiceOptions

_LEAST_WORKERS = 2


def open_service(models: Iterable[ServedModel], room: ServiceOptions) -> InferenceService:
    """Open a service of some models and the probe; those loaded are closed if another fails.

    Parameters
    ----------
    models : iterable of ServedModel
        May load them one after the other. They are taken over.
    room : ServiceOptions

    Raises
    ------
    UsageError
        Two models have one name, or a name can't be served.
    """
    with ExitStack() as stack:
        loaded: list[ServedModel] = []
        for model in models:
            loaded.append(model)
            stack.callback(model.close)
        loaded.append(load_probe(open_session))
        service = InferenceService(ModelRepository(loaded), room)
        stack.pop_all()
    return service


def choose_room(*, workers: int | None, queue: int) -> ServiceOptions:
    """Return how much a service takes on: as many workers as there are cores, unless said.

    Raises
    ------
    UsageError
        A number is too small.
    """
    chosen = max(_LEAST_WORKERS, count_cores()) if workers is None else workers
    return ServiceOptions(workers=chosen, queue=queue)
