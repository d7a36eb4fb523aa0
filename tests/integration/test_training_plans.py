"""Plans for split learning: sample networks, the command's options, and what is assumed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import TrainingDelay
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question, pose_question
from onnxsplit.planning.cuts.separators import place_prefix
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from onnxsplit.tiers import Link, Topology
from samples.networks import build_reduced
from tests.contract.workshop import fit
from tests.sample_graphs import draw_costs, read_sample

LINK = Link(up_bytes_per_second=2e7, down_bytes_per_second=5e7, round_trip_seconds=1e-4)
KINDS = {
    "model_download",
    "model_upload",
    "device_forward",
    "activation_upload",
    "server",
    "gradient_download",
    "device_backward",
    "round_trip",
    "label_transfer",
}
NETWORKS = ["lenet", "squeezenet", "resnet18", "googlenet", "bert"]


def ask(graph: OperatorGraph, **objective: Any) -> Question:  # noqa: ANN401 - fields of several types
    return pose_question(
        graph, draw_costs(graph), Topology.pair(LINK), objective=TrainingDelay(**objective)
    )


def find_part(plan: Plan, kind: str) -> float:
    return sum(part.seconds for part in plan.predicted.parts if part.kind == kind)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("iterations", [1, 20])
def test_no_prefix_of_a_sample_network_trains_faster_than_its_plan(
    name: str, iterations: int
) -> None:
    graph = read_sample(name)
    question = ask(graph, iterations=iterations)
    plan = make_plan(question)
    priced = 0
    for count in range(len(graph) + 1):
        try:
            other = price_placement(question, place_prefix(graph, count))
        except InfeasiblePlacementError:
            continue
        priced += 1
        assert plan.predicted.total_seconds <= other.value * (1 + 1e-9)
    assert priced > len(graph) / 2
    assert {part.kind for part in plan.predicted.parts} <= KINDS
    document = plan.to_json()
    fit(document)
    assert document["objective"] == "training"
    assert document["objective_options"]["iterations"] == iterations


def test_a_frozen_device_part_gets_no_gradient_back_and_its_model_does_not_go_up() -> None:
    graph = read_sample("squeezenet")
    placement = place_prefix(graph, len(graph) // 2)
    frozen = tuple(
        weight for name in placement.operators("device") for weight in graph.operator(name).weights
    )
    free = make_plan_for(ask(graph, iterations=3), placement)
    stopped = make_plan_for(ask(graph, iterations=3, frozen=frozen), placement)
    for kind in ("gradient_download", "model_upload", "device_backward"):
        assert find_part(free, kind) > 0
        assert find_part(stopped, kind) == 0
    assert find_part(stopped, "model_download") == find_part(free, "model_download")
    assert find_part(stopped, "activation_upload") == find_part(free, "activation_upload")


def test_more_iterations_leave_the_model_s_transfers_alone() -> None:
    graph = read_sample("lenet")
    placement = place_prefix(graph, len(graph) // 2)
    one, ten = (make_plan_for(ask(graph, iterations=n), placement) for n in (1, 10))
    for kind in KINDS - {"label_transfer"}:
        factor = 1 if kind.startswith("model") else 10
        assert find_part(ten, kind) == pytest.approx(factor * find_part(one, kind))


def test_backward_passes_from_the_table_are_assumed_and_measured_ones_are_not() -> None:
    graph = read_sample("lenet")
    placement = place_prefix(graph, 4)
    question = ask(graph)
    plan = make_plan_for(question, placement)
    evidence = {part.kind: part.evidence for part in plan.predicted.parts}
    assert evidence["device_forward"] == "measured"
    assert evidence["device_backward"] == evidence["server"] == "assumed"
    assert sum("table of ratios" in sentence for sentence in plan.assumptions) == 2
    measured = {
        tier: replace(
            profile,
            groups=tuple(replace(group, backward_seconds=0.5) for group in profile.groups),
        )
        for tier, profile in draw_costs(graph).items()
    }
    sure = pose_question(graph, measured, question.topology, objective=TrainingDelay())
    plan = make_plan_for(sure, placement)
    evidence = {part.kind: part.evidence for part in plan.predicted.parts}
    assert evidence["device_backward"] == evidence["server"] == "measured"
    assert not any("table of ratios" in sentence for sentence in plan.assumptions)


def test_labels_of_no_given_size_are_eight_bytes_a_row_and_named_as_an_assumption() -> None:
    graph = read_sample("lenet")
    guessed = make_plan(ask(graph))
    assert guessed.objective_options["label_bytes"] == 8
    assert any("--label-bytes" in sentence for sentence in guessed.assumptions)
    given = make_plan(ask(graph, label_bytes=8))
    assert given.predicted == guessed.predicted
    assert not any("--label-bytes" in sentence for sentence in given.assumptions)


def test_labels_on_the_device_may_travel_and_the_plan_says_that_privacy_is_not_planned() -> None:
    graph = read_sample("lenet")
    plan = make_plan_for(ask(graph, labels_at="device", label_bytes=1000), place_prefix(graph, 4))
    assert find_part(plan, "label_transfer") == pytest.approx(1000 / LINK.up_bytes_per_second)
    assert any("U-shape" in sentence for sentence in plan.assumptions)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "lenet.onnx"
    onnx.save(build_reduced("lenet"), path)
    return path


def test_the_command_plans_for_training(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    profiles = draw_costs(read_sample("lenet"))
    for tier, profile in profiles.items():
        (model.parent / f"{tier}.json").write_text(json.dumps(profile.to_json()), encoding="utf-8")
    line = [
        *("plan", str(model), "--device", "device.json", "--server", "server.json"),
        *("--objective", "training", "--iterations", "7", "--labels", "device"),
        *("--label-bytes", "256 B", "--freeze", "op:Gemm"),
    ]
    assert run([*line, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fit(document)
    assert document["objective_options"] == {
        "iterations": 7,
        "labels_at": "device",
        "label_bytes": 256,
        "frozen": ["op:Gemm"],
    }
    assert run(line) == 0
    assert "Predicted delay of an epoch" in capsys.readouterr().out
    assert run([*line[:-1], "nothing*"]) == 2
    assert "--freeze nothing*" in capsys.readouterr().err


def test_cut_plans_for_training_and_says_that_its_stages_are_for_inference(
    model: Path, tmp_path: Path
) -> None:
    profiles = draw_costs(read_sample("lenet"))
    options: dict[str, Any] = {
        "device": profiles["device"],
        "server": profiles["server"],
        "link": LINK,
        "threads": 1,
        "batches": 1,
    }
    objective = TrainingDelay(iterations=3)
    bundle = osp.cut(model, tmp_path / "split", objective=objective, **options)
    assert bundle.parity is not None
    assert bundle.parity.passed
    assert bundle.plan.objective == "training"
    assert any("stages are for inference" in note for note in bundle.plan.notes)
    with pytest.raises(UsageError, match="only latency can be corrected by measured"):
        osp.cut(model, tmp_path / "again", objective=objective, measure=2, **options)
