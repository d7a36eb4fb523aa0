"""From a scenario and profiles to what is asked for each kind of device."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.objective_notes import name_objective_assumptions
from onnxsplit.planning.costs.question import DataPlaces, Question, WireFormat, pose_question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.profiles import Profile
from onnxsplit.simulation.epochs import DeviceKind
from onnxsplit.simulation.radio import Radio
from onnxsplit.simulation.scenarios import Edge, Machine, ModelSpec, Scenario
from onnxsplit.tiers import DEVICE, SERVER, Link, Topology
from onnxsplit.units import format_rate

EDGE = "edge"

_NOMINAL = 1e6
"""A rate in the place of those that are met; no cost depends on it."""


def list_machines(scenario: Scenario) -> tuple[Machine, ...]:
    """Return every machine of a scenario, devices first.

    Parameters
    ----------
    scenario : Scenario
    """
    edge = (scenario.edge.machine,) if scenario.edge else ()
    return (*(group.machine for group in scenario.devices), *edge, scenario.server)


def scale_profile(profile: Profile, machine: Machine, model: ModelSpec) -> Profile:
    """Return a machine's profile: as it was measured, or scaled, which it says.

    Parameters
    ----------
    profile : Profile
        Its own, or the model's.
    machine : Machine
    model : ModelSpec

    Raises
    ------
    UsageError
        A board is to be scaled by its published figure, and that of the profiled machine is not
        known.
    """
    own = replace(profile, tier=machine.name)
    if machine.board is None:
        return own if machine.speed == 1 else own.scale(machine.speed)
    if machine.profile is not None:
        return own  # measured on the board itself
    if model.profiled_on is None:
        raise UsageError(
            f"{machine.name} is scaled by the published figure of {machine.board.name}; say by"
            " model.profiled_on what the machine of the profile has, such as '78 GFLOP/s'."
        )
    board, speed = machine.board, machine.board.flops_per_second / model.profiled_on
    figure = (
        f"{machine.name} was not measured: it is taken to be {speed:.4g} times as fast as the"
        f" machine of the profile, by the published peak of {board.name},"
        f" {board.flops_per_second / 1e9:g} GFLOP/s ({board.source}; checked: {board.check}), over"
        f" {model.profiled_on / 1e9:g} GFLOP/s; real operators reach different shares of it."
    )
    return replace(own.scale(speed), assumptions=(*own.assumptions, figure))


def build_kinds(
    scenario: Scenario,
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    places: DataPlaces,
) -> tuple[DeviceKind, ...]:
    """Put the question for each kind of device.

    Parameters
    ----------
    scenario : Scenario
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Machine to its profile.
    places : DataPlaces

    Raises
    ------
    ProfileMismatchError
        A profile does not fit the model.
    UsageError
        The model has no input of a name.
    """
    for name in scenario.model.input_bytes:
        if name not in graph.inputs:
            raise UsageError(
                f"model.input_bytes names {name!r}, which is no input of the model."
                f" {suggest(name, graph.inputs)}"
            )
    wires = {
        name: WireFormat(name="as sent", size_bytes=size)
        for name, size in scenario.model.input_bytes.items()
    }
    server, edge = profiles[scenario.server.name], scenario.edge
    kinds = []
    for group in scenario.devices:
        machines = {DEVICE: profiles[group.machine.name], SERVER: server}
        question, chain, relay = _ask(scenario, graph, machines, places), None, np.zeros(3)
        if edge is not None:
            nearby = profiles[edge.machine.name]
            chain = _ask_chain(scenario, edge, graph, machines, nearby, places)
            question = _relay(question, edge, chain.profiles[EDGE])
            chain, relay = replace(chain, wires=wires), _add_backhaul(edge)
        kinds.append(
            DeviceKind(
                name=group.machine.name,
                question=replace(question, wires=wires),
                chain=chain,
                constraints=Constraints(private_depth=scenario.private_depth),
                relay=relay,
            )
        )
    return tuple(kinds)


def _ask(
    scenario: Scenario,
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    places: DataPlaces,
) -> Question:
    """Put the question between a device and the server."""
    return pose_question(
        graph,
        profiles,
        Topology.pair(_near(scenario)),
        objective=scenario.objective,
        places=places,
    )


def _ask_chain(
    scenario: Scenario,
    edge: Edge,
    graph: OperatorGraph,
    machines: Mapping[str, Profile],
    nearby: Profile,
    places: DataPlaces,
) -> Question:
    """Put the question with the edge between them."""
    topology = Topology(tiers=(DEVICE, EDGE, SERVER), links=(_near(scenario), edge.backhaul))
    profiles = {**machines, EDGE: nearby}
    return pose_question(graph, profiles, topology, objective=scenario.objective, places=places)


def _near(scenario: Scenario) -> Link:
    """Return the device's link; of it the round trip counts."""
    return Link(
        up_bytes_per_second=_NOMINAL,
        down_bytes_per_second=_NOMINAL,
        round_trip_seconds=scenario.round_trip_seconds,
    )


def _relay(question: Question, edge: Edge, nearby: Profile) -> Question:
    """Let the server's link pass through the edge, which hands everything on."""
    (link,) = question.topology.links
    trip = link.round_trip_seconds + edge.backhaul.round_trip_seconds + nearby.run_seconds
    relayed = replace(link, round_trip_seconds=trip)
    return replace(question, topology=Topology.pair(relayed))


def _add_backhaul(edge: Edge) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return what the backhaul adds to the inverse rates of a device's link."""
    link = edge.backhaul
    return np.array([0.0, 1 / link.up_bytes_per_second, 1 / link.down_bytes_per_second])


def name_assumptions(scenario: Scenario, kinds: tuple[DeviceKind, ...]) -> tuple[str, ...]:
    """Say what nobody measured.

    Parameters
    ----------
    scenario : Scenario
    kinds : tuple of DeviceKind
    """
    asked = [kind.chain or kind.question for kind in kinds]
    sentences = [
        *(
            s
            for question in asked
            for profile in question.profiles.values()
            for s in profile.assumptions
        ),
        *(s for question in asked for s in question.places.assumptions),
        *(s for question in asked for s in name_objective_assumptions(question)),
        *_name_network(scenario),
        *_name_course(scenario),
        *(
            f"The input {name!r} is sent as {size} bytes by every policy, and taking it apart"
            " takes no time."
            for name, size in scenario.model.input_bytes.items()
        ),
    ]
    return tuple(dict.fromkeys(sentences))


def _name_network(scenario: Scenario) -> tuple[str, ...]:
    """Say what the links are taken to be."""
    network = scenario.network
    if not isinstance(network, Radio):
        floor = format_rate(scenario.floor_bytes_per_second)
        sentence = "Links are a recording, met by every device from a random moment on, round and"
        return (f"{sentence} round; none is slower than {floor}.",)
    band = network.band
    sight = {
        "good": "every device sees the station",
        "normal": "a device sees the station as likely as the model says at its distance",
        "poor": "no device sees the station",
    }[network.state]
    loss = (
        "Path loss is that of 3GPP TR 38.901, UMi - Street Canyon, with its shadowing;"
        f" {sight}. There is no interference, and each device has its bandwidth to itself."
    )
    figures = (
        f"Band {band.name}: {band.source}; here {band.bandwidth_hertz / 1e6:g} MHz each way,"
        f" {band.device_power_dbm:g} dBm from the device and {band.station_power_dbm:g} dBm from"
        f" the station, antenna gains {band.device_gain_db:g} and {band.station_gain_db:g} dB,"
        f" noise figures {band.device_noise_db:g} and {band.station_noise_db:g} dB."
    )
    capacity = (
        f"An uplink carries {network.uplink_attenuation:g} and a downlink"
        f" {network.downlink_attenuation:g} of Shannon's capacity, at most"
        f" {network.cap_bits_per_hertz:g} and at least {network.floor_bits_per_hertz:g} bit/s/Hz."
    )
    return loss, figures, _name_fading(network), capacity


def _name_fading(radio: Radio) -> str:
    """Say how links fade."""
    rician = f"Rician fading of {radio.rician_factor_db:g} dB"
    kind = {
        "by-sight": f"{rician} in sight, Rayleigh fading out of it",
        "rayleigh": "Rayleigh fading",
        "rician": rician,
        "none": "No fading",
    }[radio.fading]
    again = "" if radio.fading == "none" else ", drawn anew for each epoch and way"
    return (
        f"{kind}{again}. Antennas are {radio.station_metres:g} m (station) and"
        f" {radio.device_metres:g} m (device) high; closer than 10 m a link is as at 10 m."
    )


def _name_course(scenario: Scenario) -> tuple[str, ...]:
    """Say what is assumed of time."""
    time = scenario.timeline
    held = (
        "A link's rates hold for all that a device does in an epoch, and a policy knows them; an"
        f" epoch begins every {time.interval_seconds:g} s, however long the one before takes."
    )
    sentences = [held]
    if time.schedule == "at-once" and time.per_epoch > 1:
        sentences.append("Devices are served at once, and do not slow each other on the server.")
    if scenario.private_depth:
        sentences.append(
            "What leaves a device has at least"
            f" {scenario.private_depth} operators behind it, under every policy: inputs stay there."
        )
    if scenario.edge is not None:
        sentences.append("What goes to the server passes through the edge, and waits there whole.")
    return tuple(sentences)
