"""Run stages one after the other, handing on what each makes."""

from collections.abc import Callable, Mapping, Sequence

from onnxsplit.engines.port import Feeds, Session, Value
from onnxsplit.errors import BundleError


def run_chain(
    open_stages: Sequence[Callable[[], Session]], batches: Sequence[Feeds], outputs: Sequence[str]
) -> list[dict[str, Value]]:
    """Run every stage on every batch; one stage is loaded at a time.

    Parameters
    ----------
    open_stages : sequence of callable
        Load the stages, in the order in which they run.
    batches : sequence of mapping
        Model inputs.
    outputs : sequence of str
        Model outputs to return.

    Returns
    -------
    list of dict of str to value
        For each batch its outputs.

    Raises
    ------
    BundleError
        A stage needs a value that no earlier one makes, or an output is never made.
    ModelError
        A stage can't be loaded or run.
    """
    pools: list[dict[str, Value]] = [dict(batch) for batch in batches]
    for place, open_stage in enumerate(open_stages):
        with open_stage() as session:
            needs = [spec.name for spec in session.inputs]
            for pool in pools:
                pool.update(session.run(_pick(pool, needs, f"stage {place + 1}")))
    return [_pick(pool, outputs, "the model") for pool in pools]


def _pick(pool: Mapping[str, Value], names: Sequence[str], who: str) -> dict[str, Value]:
    """Take values out of a pool."""
    for name in names:
        if name not in pool:
            raise BundleError(
                f"Nothing gives the value {name!r} that {who} needs; the stages do not fit"
                " together, so cut the model again."
            )
    return {name: pool[name] for name in names}
