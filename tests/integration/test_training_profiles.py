"""``profile --training``: seconds of a step, traced to the operators that they are spent on."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxsplit.autodiff.halves.owners import OwnedStep, build_owned_step
from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe
from onnxsplit.cli.application import run
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.workflows.labels import draw_label
from onnxsplit.workflows.trained_parameters import find_trained
from onnxsplit.workflows.training_profiles import assemble_training
from samples.networks import build_reduced
from tests.contract.workshop import fit
from tests.training_models import make_attention, make_perceptron, read

OPTIONS = ("--budget", "300ms", "--threads", "1", "-q", "--no-cache")


def own(model: onnx.ModelProto) -> tuple[OperatorGraph, OwnedStep]:
    loaded, graph = read(model)
    recipe = Recipe(optimizer=Optimizer(name="adam"))
    return graph, build_owned_step(loaded, graph, find_trained(graph, ()), recipe)


def profile_evenly(step: OwnedStep) -> Profile:
    """One second for every node of a step."""
    groups = tuple(
        OperatorGroup(operators=(node.name,), seconds=1.0)
        for node in step.whole.proto.graph.node
        if node.op_type != "Constant"
    )
    return Profile(tier="device", groups=groups)


@pytest.mark.parametrize(
    "make",
    [
        make_perceptron,
        make_attention,
        *(partial(build_reduced, name) for name in ("resnet18", "bert")),
    ],
    ids=["perceptron", "attention", "resnet18", "bert"],
)
def test_every_node_of_a_step_works_for_an_operator_or_is_told(
    make: Callable[[], onnx.ModelProto],
) -> None:
    graph, step = own(make())
    measured = profile_evenly(step)
    profile = assemble_training(graph, step, measured)
    forward = sum(group.seconds for group in profile.groups)
    backward = sum(group.backward_seconds or 0.0 for group in profile.groups)
    other = profile.extra["unattributed_seconds"]
    assert forward + backward + other == pytest.approx(len(measured.groups))
    assert other <= 12  # the schedule of the optimizer
    names = [name for group in profile.groups for name in group.operators]
    assert names == [operator.name for operator in graph]


def test_what_a_step_spends_goes_to_the_operator_that_it_is_spent_for() -> None:
    graph, step = own(make_perceptron())
    profile = assemble_training(graph, step, profile_evenly(step))
    seconds = {g.operators[0]: (g.seconds, g.backward_seconds) for g in profile.groups}
    assert seconds["relu"][0] == 1.0
    assert seconds["tanh"][0] == 1.0
    updates = sum(node.name.startswith("opt|w2|") for node in step.whole.proto.graph.node)
    assert updates > 5
    assert (seconds["fc2"][1] or 0) > updates
    assert seconds["bn"][0] > 5  # statistics of the batch, and running ones


def test_operators_that_run_as_one_are_one_group() -> None:
    graph, step = own(make_perceptron())
    fused = Profile(
        tier="device",
        groups=(
            OperatorGroup(operators=("fwd|fc2", "fwd|tanh"), seconds=4.0),
            OperatorGroup(operators=("bwd|fc3|1",), seconds=3.0),
        ),
    )
    profile = assemble_training(graph, step, fused)
    together = next(group for group in profile.groups if "fc2" in group.operators)
    assert together.operators == ("fc2", "tanh")
    assert together.seconds == pytest.approx(4.0)
    head = next(group for group in profile.groups if "fc3" in group.operators)
    assert head.backward_seconds == pytest.approx(3.0)


def test_a_measured_profile_plans_a_training_without_the_table_of_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(make_perceptron(), "net.onnx")
    command = ["profile", "net.onnx", "--training", "--dim", "N=16", *OPTIONS, "--format", "json"]
    assert run([*command, "-o", "net.json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fit(document)
    assert document["passes"] == "training"
    spent = {g["operators"][0]: g["backward_seconds"] for g in document["groups"]}
    assert spent["fc1"] > 0
    plan = ["plan", "net.onnx", "--objective", "training", "--dim", "N=16", "--format", "json"]
    assert run([*plan, "--device", "net.json", "--server", "net.json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not any("table of ratios" in text for text in told["assumptions"])
    kinds = {part["kind"]: part for part in told["predicted"]["parts"]}
    assert all(part["evidence"] == "measured" for k, part in kinds.items() if "device" in k)


@pytest.mark.slow
def test_cutting_for_training_measures_training_where_a_tier_is_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(make_perceptron(), "net.onnx")
    command = ["cut", "net.onnx", "--objective", "training", "--loss", "cross-entropy"]
    command += ["--dim", "N=16", "--threads", "1", "--no-cache", "-q", "--format", "json"]
    assert run([*command, "--cut-at", "r"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not any("table of ratios" in text for text in told["plan"]["assumptions"])


def test_what_does_not_go_with_training_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(make_perceptron(), "net.onnx")
    base = ["profile", "net.onnx", "--dim", "N=4", *OPTIONS]
    assert run([*base, "--loss", "mse"]) == 2
    assert "give --training as well" in capsys.readouterr().err
    assert run([*base, "--training", "--idle-gap", "100ms"]) == 2
    assert "--training goes with none of" in capsys.readouterr().err


def test_labels_are_drawn_to_fit_the_predictions() -> None:
    loaded, graph = read(build_reduced("lenet", batch=4))
    step = build_owned_step(loaded, graph, find_trained(graph, ()), Recipe())
    head = step.step.forward.head
    label = draw_label(head.label, graph.tensors[head.predictions[0]], head.class_axis)
    assert label is not None
    assert label.shape == (4,)
    assert label.dtype == np.int64
    assert 0 <= label.min() <= label.max() < 10
