"""Bundles whose crossings travel narrower: carved along a plan, and how far they may drift."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxsplit.errors import BundleError
from onnxsplit.graph import OperatorGraph
from onnxsplit.manifest import Manifest
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.narrowing import narrow_carving, read_wires
from onnxsplit.model.shapes import find_symbolic_specs
from onnxsplit.model.stages import Carving
from onnxsplit.model.wire_audit import check_narrowing
from onnxsplit.model.wires import WireCoding
from onnxsplit.parity.drift import find_drifting_outputs
from onnxsplit.parity.verification import DriftBudget
from onnxsplit.placement import Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.data_homes import find_givers, list_resting
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.inquiries import Inquiry


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPlan:
    """A plan and how its crossings are encoded.

    Parameters
    ----------
    plan : Plan
    codings : tuple of WireCoding
        Of the crossings that travel narrower.
    """

    plan: Plan
    codings: tuple[WireCoding, ...] = ()


def carve_plan(settled: SettledPlan, inquiry: Inquiry) -> Carving:
    """Carve the model along a plan, and build its codings into the stages."""
    plain = carve_plain(inquiry.grounds, settled.plan, inquiry)
    narrowed = narrow_carving(plain, settled.codings)
    check_narrowing(plain, narrowed, settled.codings)
    return narrowed


def list_wires(carving: Carving) -> tuple[Mapping[str, Any], ...]:
    """Return the crossings that travel narrower, as the manifest holds them."""
    return tuple(
        {key: value for key, value in entry.items() if key not in {"way", "nodes"}}
        for stage in carving.stages
        for entry in read_wires(stage.proto)
        if entry["way"] == "encode"
    )


def find_budget(manifest: Manifest, graph: OperatorGraph) -> DriftBudget | None:
    """Return how far a bundle's outputs may drift; None if nothing travels narrower.

    Raises
    ------
    BundleError
        The manifest has narrower crossings, and does not say how far outputs may drift.
    """
    if not manifest.wires:
        return None
    try:
        most = float(manifest.plan["boundary"]["max_drift"])
        wires = {entry["tensor"]: entry["wire"] for entry in manifest.wires}
        placement = Placement.of_groups(manifest.plan["placement"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            "The manifest lists narrower crossings, but its plan has no readable boundary; cut the"
            " model again."
        ) from error
    return plan_budget(graph, placement, wires, most)


def plan_budget(
    graph: OperatorGraph, placement: Placement, wires: Mapping[str, str], most: float
) -> DriftBudget | None:
    """Return how far outputs may drift; None if nothing travels narrower."""
    if not wires:
        return None
    outputs = find_drifting_outputs(graph, placement, wires.keys())
    return DriftBudget(most=most, outputs=outputs, wires=wires)


def carve_plain(grounds: Grounds, plan: Plan, inquiry: Inquiry) -> Carving:
    """Carve the model along the plan, with the model's own symbolic dims at the boundary."""
    prepared = grounds.prepared
    names = list(dict.fromkeys(crossing.tensor for crossing in plan.crossings))
    boundary = find_symbolic_specs(prepared.model, prepared.tensors, names, inquiry.request.engine)
    return carve_stages(
        prepared.model,
        prepared.graph,
        plan.placement,
        boundary,
        resting=list_resting(plan.data),
        gives=find_givers(plan.data, plan.placement),
        copies=frozenset(plan.recomputed),
    )
