"""Whole simulations: from a scenario file to the table, the files and the command line."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.errors import UsageError
from onnxsplit.profiling.storage import write_profile
from onnxsplit.reporting.schemas import load_schema
from onnxsplit.reporting.simulation_report import describe_simulation
from onnxsplit.reporting.text import render_text
from onnxsplit.simulation.results import OURS, SimulationResult
from onnxsplit.simulation.scenario_files import read_scenario
from samples.networks import build_reduced
from tests.sample_graphs import draw_costs, read_sample

SCENARIO = """\
schema = "onnxsplit.scenario/1"
seeds = 4
[model]
file = "{name}.onnx"
profile = "{name}.json"
profiled_on = "100 GFLOP/s"
[objective]
kind = "{objective}"
{training}
[server]
board = "a100"
{edge}
[[devices]]
name = "slow"
count = 3
board = "raspberry-pi-4"
[[devices]]
name = "fast"
count = 2
speed = 4.0
[time]
epochs = 30
interval = "20 s"
per_epoch = 2
[channel]
band = "n78"
state = "poor"
bandwidth = "5 MHz"
"""
EDGE = """\
[edge]
board = "jetson-agx-orin"
uplink = "20 Mbit/s"
downlink = "50 Mbit/s"
round_trip = "4 ms"
"""
KINDS = {
    "training": {"objective": "training", "training": "iterations = 5", "edge": ""},
    "latency": {"objective": "latency", "training": "", "edge": ""},
    "edge": {"objective": "latency", "training": "", "edge": EDGE},
}


def write_scenario(folder: Path, kind: str, name: str = "googlenet") -> Path:
    (folder / f"{name}.onnx").write_bytes(build_reduced(name).SerializeToString())
    profile = draw_costs(read_sample(name))["server"]
    # The sample's structure, so that the profile is known to be its own.
    profile = replace(profile, model=read_sample(name).identity, run_seconds=2e-5)
    write_profile(profile, folder / f"{name}.json")
    path = folder / f"{kind}.toml"
    path.write_text(SCENARIO.format(name=name, **KINDS[kind]))
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["googlenet", "resnet18", "densenet121"])
def test_ours_never_takes_longer_than_any_other_policy(
    tmp_path: Path, kind: str, name: str
) -> None:
    result = osp.simulate(write_scenario(tmp_path, kind, name), seeds=6)
    baselines = [outcome for outcome in result.outcomes if outcome.name not in OURS]
    assert {"device-only", "server-only", "oss", "regression", "chain", "qdmp", "dads"} <= {
        outcome.name for outcome in baselines
    }
    for outcome in baselines:
        if outcome.name != "edge-only":
            assert (result.find("ours").seconds <= outcome.seconds * (1 + 1e-7)).all()
        if kind == "edge":
            assert (result.lead.seconds <= outcome.seconds * (1 + 1e-7)).all()
    if kind == "edge":
        assert result.lead.name == "ours-edge"
        assert (result.lead.seconds <= result.find("ours").seconds * (1 + 1e-7)).all()
    assert (result.find("ours").seconds < result.find("server-only").seconds).any()


def test_the_same_seeds_give_the_same_table_and_others_do_not(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "training")
    first, again = (osp.simulate(path, csv=tmp_path / f"{n}.csv") for n in "ab")
    other = osp.simulate(path, overrides=["first_seed=9"])
    assert first.to_json() == again.to_json()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert first.to_json()["policies"] != other.to_json()["policies"]
    assert other.seeds == (9, 10, 11, 12)


def test_a_table_and_a_drawing_need_files_of_their_own(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    with pytest.raises(UsageError, match="--csv and --plot are both"):
        osp.simulate(path, csv=tmp_path / "a.svg", plot=tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_more_seeds_leave_those_before_as_they_are(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    few, many = osp.simulate(path, seeds=2), osp.simulate(path, seeds=5)
    assert (few.find("ours").seconds == many.find("ours").seconds[:2]).all()
    assert (few.encounters.devices == many.encounters.devices[:2]).all()


def test_another_fading_leaves_places_and_turns_as_they_are(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    plain, faded = osp.simulate(path), osp.simulate(path, overrides=["channel.fading=none"])
    assert (plain.encounters.devices == faded.encounters.devices).all()
    ratio = plain.encounters.up_bytes_per_second / faded.encounters.up_bytes_per_second
    assert 0.05 < np.median(ratio) < 20
    assert (ratio != 1).any()


def test_the_document_fits_its_schema_and_its_parts_add_up(tmp_path: Path) -> None:
    for kind in KINDS:
        result = osp.simulate(write_scenario(tmp_path, kind))
        for timings in (False, True):
            document = json.loads(json.dumps(result.to_json(timings=timings)))
            faults = Draft202012Validator(load_schema("simulation")).iter_errors(document)
            assert [fault.message for fault in faults] == []
            assert ("timings" in document) == timings
        for policy, outcome in zip(document["policies"], result.outcomes, strict=True):
            assert sum(part["share"] for part in policy["parts"]) == pytest.approx(1)
            assert sum(cut["share"] for cut in policy["cuts"]) == pytest.approx(1)
            assert sum(outcome.parts.values()) == pytest.approx(outcome.seconds.sum())
            total = outcome.seconds.sum(axis=(1, 2)).mean()
            assert policy["total_seconds"]["mean"] == pytest.approx(total)
            assert policy["total_seconds"]["low"] <= total <= policy["total_seconds"]["high"]
        assert any("raspberry-pi-4" in sentence for sentence in document["assumptions"])


def test_an_epoch_at_once_takes_its_longest_device(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    turns = osp.simulate(path)
    once = osp.simulate(path, overrides=["time.schedule=at-once"])
    ours = once.find("ours")
    assert (ours.seconds == turns.find("ours").seconds).all()
    assert (once.time_epochs(ours) == ours.seconds.max(axis=2)).all()
    assert (turns.time_epochs(ours) == ours.seconds.sum(axis=2)).all()


def test_a_relayed_split_costs_the_same_in_the_whole_chain(tmp_path: Path) -> None:
    """What two-tier policies are told over the relay is what the chain prices, edge idle."""
    from onnxsplit.planning.costs.linear_pricing import linearise  # noqa: PLC0415 - for this test
    from onnxsplit.planning.costs.question import DataPlaces  # noqa: PLC0415 - likewise
    from onnxsplit.simulation.fleets import (  # noqa: PLC0415 - likewise
        build_kinds,
        list_machines,
        scale_profile,
    )

    scenario = read_scenario(write_scenario(tmp_path, "edge"))
    graph = read_sample("googlenet")
    base = replace(draw_costs(graph)["server"], run_seconds=2e-5)
    profiles = {
        machine.name: scale_profile(base, machine, scenario.model)
        for machine in list_machines(scenario)
    }
    result = osp.simulate(scenario)
    link = np.array([1.0, 1 / 3e5, 1 / 9e5])
    for kind in build_kinds(scenario, graph, profiles, DataPlaces()):
        assert kind.chain is not None
        for cut in result.find("chain").cuts:
            relayed = linearise(kind.question, cut.placement)[0].total @ (link + kind.relay)
            tiers = kind.chain.topology.tiers
            whole = replace(cut.placement, tiers=tiers)
            assert linearise(kind.chain, whole)[0].total @ link == pytest.approx(relayed)


def test_the_command_prints_tables_and_writes_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_scenario(tmp_path, "training")
    table, drawing, image = tmp_path / "t.csv", tmp_path / "p.svg", tmp_path / "p.png"
    line = ["simulate", str(path), "--set", "time.epochs=5", "--seeds", "2"]
    assert run([*line, "--csv", str(table), "--plot", str(drawing)]) == 0
    told = capsys.readouterr()
    assert "training: training over 5 epochs of 2 devices each, 2 seeds: ours takes" in told.out
    assert "What the delay is made of" in told.out
    assert "simulating ..." in told.err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2 * 5 * 2 * 8
    assert {row["policy"] for row in rows} >= {"ours", "dads", "oss"}
    titles = [node.text for node in ET.parse(drawing).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own drawing
    assert "How far ours is below each other policy" in titles
    assert run([*line, "--plot", str(image), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "onnxsplit.simulation/1"
    assert image.read_bytes().startswith(b"\x89PNG")
    assert run([*line, "--format", "markdown"]) == 0
    assert "| policy | an epoch |" in capsys.readouterr().out


def test_wrong_wishes_are_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scenario(tmp_path, "latency")
    for line, message in (
        (["--plot", "x.pdf"], "ends in .svg or .png"),
        (["--seeds", "0"], "too small"),
        (["--set", "channel.band=n5"], "--set, channel.band: 'n5' is none of"),
        (["--set", "model.profiled_on=3"], "--set, model.profiled_on: 3 must be text"),
    ):
        assert run(["simulate", str(path), *line]) == 2
        assert message in capsys.readouterr().err
    assert run(["simulate", str(tmp_path / "none.toml")]) == 2
    assert "can't be read" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'pip install "onnxsplit\[plot\]"'):
        osp.simulate(path, plot=tmp_path / "x.png")
    with pytest.raises(UsageError, match="Overrides replace keys of a scenario file"):
        osp.simulate(read_scenario(path), overrides=["seeds=1"])


def test_a_board_without_the_profiled_machines_figure_is_refused(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    path.write_text(path.read_text().replace('profiled_on = "100 GFLOP/s"\n', ""))
    with pytest.raises(UsageError, match="slow is scaled by the published figure of raspberry-pi"):
        osp.simulate(path)


def test_sizes_and_inputs_that_the_model_does_not_have_are_named(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    with pytest.raises(UsageError, match=r"model.input_bytes names 'imge'.* Did you mean 'image'"):
        osp.simulate(path, overrides=['model.input_bytes.imge="1 kB"'])
    with pytest.raises(UsageError, match=r"model.dims or model.shapes do not fit: --dim rows: no"):
        osp.simulate(path, overrides=["model.dims.rows=1"])


def test_a_compressed_input_is_sent_by_every_policy(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    raw = osp.simulate(path)
    sent = osp.simulate(path, overrides=['model.input_bytes.image="200 B"'])
    assert (sent.find("server-only").seconds < raw.find("server-only").seconds).all()
    assert (sent.find("ours").seconds <= raw.find("ours").seconds * (1 + 1e-9)).all()
    assert (sent.find("ours").seconds <= sent.find("server-only").seconds * (1 + 1e-7)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_private_inputs_never_leave_a_device_under_any_policy(tmp_path: Path, kind: str) -> None:
    path = write_scenario(tmp_path, kind)
    free = osp.simulate(path)
    result = osp.simulate(path, overrides=["objective.private_depth=2"])
    names = {outcome.name for outcome in result.outcomes}
    assert names.isdisjoint({"server-only", "edge-only"})
    assert names >= {"ours", "device-only", "oss", "regression", "chain", "qdmp", "dads"}
    assert any("server-only has no placement" in note for note in result.notes)
    stem = {"conv1", "conv1/relu"}  # all that is less deep than 2
    for outcome in result.outcomes:
        for cut in outcome.cuts:
            assert "image" not in cut.crossings
            assert stem <= set(cut.placement.operators("device"))
        assert (result.lead.seconds <= outcome.seconds * (1 + 1e-7)).all()
    assert (result.lead.seconds >= free.lead.seconds * (1 - 1e-7)).all()
    assert {name for cut in free.find("server-only").cuts for name in cut.crossings} == {"image"}


def test_a_machine_with_a_profile_of_its_own_is_not_scaled_by_its_board(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "latency")
    own = replace(
        draw_costs(read_sample("googlenet"))["device"], model=read_sample("googlenet").identity
    )
    write_profile(own, tmp_path / "own.json")
    text = path.read_text().replace('name = "slow"', 'name = "slow"\nprofile = "own.json"')
    path.write_text(text)
    result = osp.simulate(path)
    alone = result.find("device-only")
    kinds = np.array(result.device_names)[result.encounters.devices]
    assert alone.seconds[kinds == "slow"] == pytest.approx(own.total_seconds)
    assert not any("slow was not measured" in sentence for sentence in result.assumptions)
    assert any("fast was not measured" in sentence for sentence in result.assumptions)


def test_one_seed_tells_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = osp.simulate(write_scenario(tmp_path, "latency"), seeds=1)
    assert result.to_json()["policies"][0]["total_seconds"]["low"] is None
    text = render_text(describe_simulation(result), stream=sys.stdout)
    assert "+-" not in text
    capsys.readouterr()


SHIPPED = sorted((Path(__file__).parents[2] / "samples" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_every_shipped_scenario_runs(path: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = {}
    name = "squeezenet"
    model = osp.profile(path.parent.parent / f"{name}.onnx", threads=1, budget="1s")
    write_profile(model, tmp_path / "here.json")
    result: SimulationResult = osp.simulate(
        path, seeds=2, overrides=[f"model.profile={tmp_path / 'here.json'}", "time.epochs=6"]
    )
    document = result.to_json()
    assert document["epochs"] == 6
    assert result.notes == ()
