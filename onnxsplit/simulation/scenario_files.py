"""Scenario files: TOML, every figure with its unit; what is wrong is told with line and key."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.objectives import InferenceLatency, TrainingDelay
from onnxsplit.simulation.boards import BOARDS
from onnxsplit.simulation.channel_sections import check_pace, read_network
from onnxsplit.simulation.quantities import parse_compute
from onnxsplit.simulation.scenarios import (
    SCHEDULES,
    SELECTIONS,
    DeviceGroup,
    Edge,
    Machine,
    ModelSpec,
    Scenario,
    Schedule,
    Selection,
    SimulatedObjective,
    Timeline,
)
from onnxsplit.simulation.sections import Section, find_file, open_document
from onnxsplit.tiers import Link
from onnxsplit.units import parse_duration, parse_rate, parse_size

SCENARIO_SCHEMA = "onnxsplit.scenario/1"


POLICIES = (
    "ours",
    "ours-edge",
    "device-only",
    "server-only",
    "edge-only",
    "oss",
    "regression",
    "chain",
    "qdmp",
    "dads",
)
"""Every policy, ours first."""


EDGE_POLICIES = frozenset({"ours-edge", "edge-only"})
"""Those that need an edge tier."""

_SIDES = ("server", "device")
_TAKEN_NAMES = frozenset({"", "server", "edge"})
_DEFAULT_SEEDS = 5


def read_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``KEY=VALUE``: a dotted key such as ``channel.band``, and the value in its place.

    Raises
    ------
    UsageError
        The file can't be read, a key is unknown or missing, or a value makes no sense; the message
        names line and key.
    """
    top = open_document(path, overrides)
    top.choice("schema", (SCENARIO_SCHEMA,))
    folder = path.parent
    edge = _read_edge(top, folder)
    objective, private_depth = _read_objective(top.table("objective"))
    if edge is not None and isinstance(objective, TrainingDelay):
        top.fail("edge", "training is planned for a device and a server; leave the edge out.")
    network, mobility, trip, floor = read_network(top, folder)
    timeline = _read_timeline(top.table("time"))
    check_pace(top, mobility, timeline.interval_seconds)
    model = _read_model(top.table("model"), folder)
    if model.input_bytes and isinstance(objective, TrainingDelay):
        top.table("model").fail("input_bytes", "it is priced for latency alone; leave it out.")
    scenario = Scenario(
        name=top.text("name", path.stem),
        model=model,
        objective=objective,
        server=_read_machine(top.table("server"), folder, "server"),
        devices=_read_devices(top, folder),
        timeline=timeline,
        network=network,
        mobility=mobility,
        round_trip_seconds=trip,
        floor_bytes_per_second=floor,
        edge=edge,
        private_depth=private_depth,
        policies=_read_policies(top, has_edge=edge is not None),
        seeds=_read_seeds(top),
    )
    top.close()
    return scenario


def _read_model(section: Section, folder: Path) -> ModelSpec:
    """Read ``[model]``."""
    sizes = section.table("input_bytes")
    spec = ModelSpec(
        file=find_file(section, "file", folder),
        profile=_read_profile(section, folder) or "local",
        profiled_on=_read_peak(section),
        shapes=section.shapes("shapes"),
        dims=section.sizes("dims"),
        input_bytes={name: sizes.parse(name, parse_size) for name in sizes.values},
        threads=section.integer("threads") if section.has("threads") else None,
    )
    section.close()
    return spec


def _read_peak(section: Section) -> float | None:
    """Read the published peak of the machine that was profiled: a board's name, or a rate."""
    if not section.has("profiled_on"):
        return None
    board = BOARDS.get(section.text("profiled_on"))
    return board.flops_per_second if board else section.parse("profiled_on", parse_compute)


def _read_machine(section: Section, folder: Path, name: str) -> Machine:
    """Read how fast a machine is."""
    machine = Machine(name=name, profile=_read_profile(section, folder))
    given = [key for key in ("board", "speed") if section.has(key)]
    if len(given) > 1:
        section.fail("speed", "give a board or a speed, not both.")
    if "board" in given:
        machine = replace(machine, board=BOARDS[section.choice("board", tuple(BOARDS))])
    if "speed" in given:
        machine = replace(machine, speed=section.number("speed"))
    section.close()
    return machine


def _read_devices(top: Section, folder: Path) -> tuple[DeviceGroup, ...]:
    """Read every ``[[devices]]``."""
    groups: list[DeviceGroup] = []
    for section in top.tables("devices"):
        name = section.text("name")
        if name in _TAKEN_NAMES:
            section.fail("name", f"{name!r} can't be a device's name; choose another.")
        if any(group.machine.name == name for group in groups):
            section.fail("name", f"{name!r} is the name of other devices already.")
        count = section.integer("count", 1)
        groups.append(DeviceGroup(machine=_read_machine(section, folder, name), count=count))
    return tuple(groups)


def _read_edge(top: Section, folder: Path) -> Edge | None:
    """Read ``[edge]``, where there is one."""
    if not top.has("edge"):
        return None
    section = top.table("edge")
    backhaul = Link(
        up_bytes_per_second=section.parse("uplink", parse_rate),
        down_bytes_per_second=section.parse("downlink", parse_rate),
        round_trip_seconds=section.parse("round_trip", parse_duration),
    )
    return Edge(machine=_read_machine(section, folder, "edge"), backhaul=backhaul)


def _read_objective(section: Section) -> tuple[SimulatedObjective, int]:
    """Read ``[objective]``: what is minimised, and how deep what leaves a device must lie."""
    kind = section.choice("kind", (TrainingDelay.name, InferenceLatency.name))
    objective: SimulatedObjective = InferenceLatency()
    if kind == TrainingDelay.name:
        side = section.choice("labels_at", _SIDES, "server")
        objective = TrainingDelay(
            iterations=section.integer("iterations", 1),
            labels_at="device" if side == "device" else "server",
            label_bytes=section.parse("label_bytes", parse_size)
            if section.has("label_bytes")
            else None,
            frozen=section.texts("frozen", ()),
        )
    private_depth = section.integer("private_depth", 0, least=0)
    section.close()
    return objective, private_depth


def _read_timeline(section: Section) -> Timeline:
    """Read ``[time]``."""
    usual = Timeline()
    selection = section.choice("selection", SELECTIONS, usual.selection)
    schedule = section.choice("schedule", SCHEDULES, usual.schedule)
    timeline = Timeline(
        epochs=section.integer("epochs", usual.epochs),
        interval_seconds=_read_interval(section, usual.interval_seconds),
        per_epoch=section.integer("per_epoch", usual.per_epoch),
        selection=_pick_selection(selection),
        schedule=_pick_schedule(schedule),
    )
    section.close()
    return timeline


def _read_interval(section: Section, default: float) -> float:
    """Read the time between two epochs."""
    seconds = section.quantity("interval", parse_duration, default)
    if seconds <= 0:
        section.fail("interval", "epochs need some time between their beginnings.")
    return seconds


def _pick_selection(word: str) -> Selection:
    """Return a word that was checked as what it is."""
    return next(known for known in SELECTIONS if known == word)


def _pick_schedule(word: str) -> Schedule:
    """Return a word that was checked as what it is."""
    return next(known for known in SCHEDULES if known == word)


def _read_policies(top: Section, *, has_edge: bool) -> tuple[str, ...]:
    """Read which policies are compared; all that fit if nobody says."""
    fitting = tuple(name for name in POLICIES if has_edge or name not in EDGE_POLICIES)
    names = top.texts("policies", fitting)
    for name in names:
        if name not in fitting:
            reason = "needs an [edge]" if name in POLICIES else f"is none of {', '.join(fitting)}"
            top.fail("policies", f"{name!r} {reason}.")
    return tuple(name for name in fitting if name in {"ours", *names})


def _read_seeds(top: Section) -> tuple[int, ...]:
    """Read how many seeds there are, and the first of them."""
    count, first = top.integer("seeds", _DEFAULT_SEEDS), top.integer("first_seed", 0, least=0)
    return tuple(range(first, first + count))


def _read_profile(section: Section, folder: Path) -> str | None:
    """Read a profile's file, or ``local``."""
    if not section.has("profile"):
        return None
    if section.text("profile") == "local":
        return "local"
    return str(find_file(section, "profile", folder))
