"""What the rest of a chain takes and gives, seen from the tier before it."""

from collections.abc import Sequence

from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.runtime.served_stages import find_states
from onnxsplit.stage_entries import StageEntry


def find_chain_inputs(manifest: Manifest, stages: Sequence[StageEntry]) -> tuple[TensorSpec, ...]:
    """Return what must be sent to the first of some consecutive stages.

    Parameters
    ----------
    manifest : Manifest
    stages : sequence of StageEntry
        The last ones of the chain, in order.

    Returns
    -------
    tuple of TensorSpec
        What the first takes, then what a later one takes that none before it gives: model inputs
        that live at the end of the chain. States that a tier keeps are not sent.
    """
    pasts = {state.past for stage in stages for state in find_states(manifest, stage.tier)}
    needed: dict[str, TensorSpec] = {}
    given: set[str] = set()
    for stage in stages:
        for spec in stage.inputs:
            if spec.name not in given | pasts:
                needed.setdefault(spec.name, spec)
        given |= {spec.name for spec in stage.outputs}
    return tuple(needed.values())


def find_chain_outputs(manifest: Manifest, stages: Sequence[StageEntry]) -> tuple[TensorSpec, ...]:
    """Return the model outputs that some stages give, in the model's order, without states."""
    tiers = [stage.tier for stage in stages]
    presents = {state.present for tier in tiers for state in find_states(manifest, tier)}
    specs = {spec.name: spec for stage in stages for spec in stage.outputs}
    return tuple(
        specs[name]
        for name, tier in manifest.yields.items()
        if tier in tiers and name in specs and name not in presents
    )
