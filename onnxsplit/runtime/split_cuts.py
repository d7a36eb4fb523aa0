"""A cut, opened by the device: its own stage, and what it asks of the next tier."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, RequestError, UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle
from onnxsplit.runtime.chain_ends import find_chain_inputs
from onnxsplit.runtime.messages import InferRequest, InferResponse, Parameter
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.served_stages import (
    OpenSession,
    StageOptions,
    find_facts,
    find_states,
    load_stage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePart:
    """What the next tier runs for us.

    Parameters
    ----------
    model : str
        The name under which it is served.
    inputs, outputs : tuple of str
        What it is sent, and what is wanted of it; states that it keeps are neither.
    specs : tuple of TensorSpec
        Of the inputs.
    facts : mapping
        By which it is known: ``model_sha256``, ``stage_sha256``, ``tier``.
    has_states : bool
        Whether it keeps states from one request of a sequence to the next.
    """

    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    specs: tuple[TensorSpec, ...]
    facts: Mapping[str, Parameter]
    has_states: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCut:
    """A cut as the device sees it.

    Parameters
    ----------
    id : str
        Of a bundle of several cuts; else empty.
    manifest : Manifest
        Of this cut alone.
    local : ServedModel or None
        The device's stage; None if the cut leaves it nothing.
    remote : RemotePart or None
        None if the cut leaves nothing to others.
    outputs : tuple of str
        The model's outputs, in its order, without states that are kept.
    has_states : bool
        Whether any tier keeps states.
    """

    id: str
    manifest: Manifest
    local: ServedModel | None
    remote: RemotePart | None
    outputs: tuple[str, ...]
    has_states: bool

    @property
    def predicted_seconds(self) -> float | None:
        """What the plan says a run takes."""
        predicted: Any = self.manifest.plan.get("predicted") or {}
        seconds = predicted.get("total_seconds")
        return float(seconds) if isinstance(seconds, int | float) else None

    def run_local(
        self, inputs: Mapping[str, Array], parameters: Mapping[str, Parameter]
    ) -> InferResponse | None:
        """Run the device's stage; None if there is none.

        Raises
        ------
        UsageError
            An input is missing, or of another type or shape.
        ModelError
            The stage fails on the inputs.
        """
        if self.local is None:
            return None
        takes = [spec.name for spec in self.local.metadata.inputs]
        try:
            return self.local.infer(
                InferRequest(
                    model=self.local.metadata.name,
                    inputs={name: inputs[name] for name in takes if name in inputs},
                    parameters=parameters,
                )
            )
        except RequestError as error:
            raise UsageError(str(error)) from error

    def close(self) -> None:
        """Close the device's stage."""
        if self.local is not None:
            self.local.close()


def open_cut(
    bundle: StoredBundle,
    manifest: Manifest,
    *,
    cut: str,
    model: str,
    options: StageOptions,
    open_session: OpenSession,
) -> SplitCut:
    """Open the device's part of a cut.

    Parameters
    ----------
    bundle : StoredBundle
        Of its files, only those of the device's stage need be there.
    manifest : Manifest
        Of the cut alone.
    cut : str
        Its name; empty if the bundle has no others.
    model : str
        The name under which the next tier's stage is served.
    options : StageOptions
    open_session : callable
        Loads a file of a model into an engine.

    Raises
    ------
    BundleError
        The manifest is malformed, or a file is missing or not the one that was written.
    ModelError
        The stage can't be loaded.
    """
    tiers = _list_tiers(manifest)
    stages = list(manifest.stages)
    own = stages.pop(0) if stages and stages[0].tier == tiers[0] else None
    alone = replace(bundle, manifest=manifest)
    states = {s for tier in tiers for s in find_states(manifest, tier)}
    presents = {state.present for state in states}
    given = {name for name, tier in manifest.yields.items() if tier == tiers[0]}
    outputs = tuple(
        spec["name"] for spec in manifest.model["outputs"] if spec["name"] not in presents
    )
    return SplitCut(
        id=cut,
        manifest=manifest,
        local=None
        if own is None
        else load_stage(alone, own, name=own.tier, options=options, open_session=open_session),
        remote=None
        if not stages
        else _describe_remote(manifest, model, tuple(n for n in outputs if n not in given), own),
        outputs=outputs,
        has_states=bool(states),
    )


def _describe_remote(
    manifest: Manifest, model: str, outputs: tuple[str, ...], own: object
) -> RemotePart:
    """Say what the next tier is asked for; it relays to those beyond."""
    nearest = manifest.stages[0 if own is None else 1]
    beyond = manifest.stages[0 if own is None else 1 :]
    states = [s for stage in beyond for s in find_states(manifest, stage.tier)]
    specs = find_chain_inputs(manifest, beyond)
    return RemotePart(
        model=model,
        inputs=tuple(spec.name for spec in specs),
        outputs=outputs,
        specs=specs,
        facts=find_facts(manifest, nearest),
        has_states=bool(states),
    )


def _list_tiers(manifest: Manifest) -> list[str]:
    """Return the chain's tiers."""
    tiers = manifest.plan.get("tiers")
    if not isinstance(tiers, list) or not tiers or not manifest.stages:
        raise BundleError("The manifest's plan names no tiers; cut the model again.")
    return tiers
