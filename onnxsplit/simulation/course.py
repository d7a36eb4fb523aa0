"""A whole simulation: draw what is met, let every policy decide, and put the result together."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.question import DataPlaces
from onnxsplit.profiles import Profile
from onnxsplit.progress import Progress
from onnxsplit.simulation.encounters import draw_encounters
from onnxsplit.simulation.epochs import run_policies
from onnxsplit.simulation.fleets import build_kinds, name_assumptions
from onnxsplit.simulation.radio import Radio
from onnxsplit.simulation.results import SimulationResult
from onnxsplit.simulation.scenarios import Scenario


def run_scenario(
    scenario: Scenario,
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    places: DataPlaces,
    progress: Progress,
) -> SimulationResult:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : Scenario
    graph : OperatorGraph
        Of its model.
    profiles : mapping of str to Profile
        Each machine's.
    places : DataPlaces
        Where the model's data lives.
    progress : Progress

    Returns
    -------
    SimulationResult

    Raises
    ------
    OnnxSplitError
        The model can't be planned for, or a profile does not fit it.
    """
    kinds = build_kinds(scenario, graph, profiles, places)
    progress.report("drawing links")
    encounters = draw_encounters(scenario)
    counts = [group.count for group in scenario.devices]
    kind_of = np.repeat(np.arange(len(kinds)), counts)
    outcomes, notes = run_policies(scenario.policies, kinds, kind_of, encounters, progress)
    first = kinds[0].chain or kinds[0].question
    return SimulationResult(
        scenario=scenario.name,
        model=graph.identity,
        objective=scenario.objective.name,
        tiers=first.topology.tiers,
        schedule=scenario.timeline.schedule,
        seeds=scenario.seeds,
        network=_describe_network(scenario),
        device_names=tuple(kinds[number].name for number in kind_of),
        encounters=encounters,
        outcomes=outcomes,
        assumptions=name_assumptions(scenario, kinds),
        notes=notes,
    )


def _describe_network(scenario: Scenario) -> dict[str, Any]:
    """Say what the links are made of."""
    network = scenario.network
    trip = {"round_trip_seconds": scenario.round_trip_seconds}
    if not isinstance(network, Radio):
        return {"kind": "trace", **trip}
    return {
        "kind": "radio",
        "band": network.band.name,
        "state": network.state,
        "fading": network.fading,
        "bandwidth_hertz": network.band.bandwidth_hertz,
        **trip,
    }
