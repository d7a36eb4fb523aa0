"""What each command prints and writes, seen from outside."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.contract.workshop import Command, Workshop, fit


def commands(workshop: Workshop) -> Mapping[str, list[object]]:
    planned = [workshop.model, *workshop.cut_options()]
    return {
        "cut": ["cut", *planned, "-o", "bundle"],
        "measure": ["cut", workshop.model, "--link", "ethernet", "-o", "m", "--measure", "2"],
        "profile": ["profile", workshop.model, "-o", "profile.json", "--budget", "300ms"],
        "stages": ["profile", "--stages", workshop.bundle, "-o", "t.json", "--budget", "300ms"],
        "chain": ["cut", workshop.model, *workshop.chain_options(), "-o", "chain"],
        "plan": ["plan", *planned, "--timings"],
        "narrow": ["cut", *planned, "-o", "bundle", "--boundary", "auto", "--max-drift", "5%"],
        "sent": ["plan", *planned, "--input-bytes", "image=1kB", "--recompute"],
        "limits": ["plan", *planned, "--device-memory", "1MB", "--private-depth", "1"],
        "energy": ["plan", *planned, "--objective", "energy", "--device-watts", "3"],
        "frontier": ["frontier", *planned, "--two-dimensional", "--svg", "frontier.svg"],
        "outlook": ["plan", *planned, "--sensitivity", "--explain", "conv2"],
        "training": ["plan", *planned, "--objective", "training", "--iterations", "3"],
        "throughput": ["plan", *planned, "--objective", "throughput"],
        "moving": ["plan", *planned, "--from", workshop.bundle, "--amortise", "5"],
        "verify": ["verify", workshop.bundle, "--model", workshop.model],
        "verify alone": ["verify", workshop.bundle],
        "inspect": ["inspect", workshop.model],
        "merge": ["merge", workshop.bundle, "-o", "whole.onnx"],
    }


NAMES = [
    "cut",
    "measure",
    "chain",
    "profile",
    "stages",
    "plan",
    "limits",
    "energy",
    "frontier",
    "narrow",
    "sent",
    "outlook",
    "training",
    "throughput",
    "moving",
    "verify",
    "verify alone",
    "inspect",
    "merge",
]


@pytest.mark.parametrize("name", NAMES)
def test_json_is_one_valid_document_and_nothing_else_is_said(
    workshop: Workshop, command: Command, tmp_path: Path, name: str
) -> None:
    finished = command(*commands(workshop)[name], "--format", "json", folder=tmp_path)
    assert finished.code == 0, finished.err
    finished.document()
    assert finished.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_text_is_plain_when_piped_and_talk_goes_to_stderr(
    workshop: Workshop, command: Command, tmp_path: Path, name: str
) -> None:
    finished = command(*commands(workshop)[name], folder=tmp_path, COLUMNS="100")
    assert finished.code == 0, finished.err
    assert finished.out.isascii()
    assert "\x1b" not in finished.out + finished.err
    assert max(map(len, finished.out.splitlines())) <= 100
    assert "..." in finished.err
    assert "..." not in finished.out


@pytest.mark.parametrize("name", NAMES)
def test_quiet_says_nothing_but_the_result(
    workshop: Workshop, command: Command, tmp_path: Path, name: str
) -> None:
    arguments = commands(workshop)[name]
    finished = command(*arguments, "--format", "markdown", "-q", folder=tmp_path)
    assert finished.code == 0
    assert finished.err == ""
    assert finished.out.strip()


def test_cut_prints_the_manifest_that_it_wrote(workshop: Workshop) -> None:
    printed = workshop.cut.document()
    written = json.loads((workshop.bundle / "split.json").read_text(encoding="utf-8"))
    fit(written)
    assert printed["directory"] == "net.split"
    assert {**printed, "parity": None} == {**written, "directory": "net.split", "parity": None}
    shown, kept = printed["parity"], written["parity"]
    assert {key: shown[key] for key in kept if key != "outputs"} == {
        key: value for key, value in kept.items() if key != "outputs"
    }
    assert "max_absolute" in shown["outputs"][0]
    assert "max_absolute" not in kept["outputs"][0], "differences vary from run to run"


def test_the_manifest_s_hashes_are_those_of_the_files(workshop: Workshop) -> None:
    document = workshop.cut.document()
    assert {stage["file"] for stage in document["stages"]} == {"device.onnx", "server.onnx"}
    for stage in document["stages"]:
        content = (workshop.bundle / stage["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == stage["sha256"]
    names = {path.name for path in workshop.bundle.iterdir()}
    assert names == {"device.onnx", "server.onnx", "split.json"}


def test_the_stages_in_a_row_equal_the_model(workshop: Workshop) -> None:
    image = np.random.default_rng(5).normal(size=(1, 3, 32, 32)).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL

    def run(path: Path, feeds: dict[str, object]) -> dict[str, object]:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        wanted = {port.name: feeds[port.name] for port in session.get_inputs()}
        return dict(
            zip(
                [port.name for port in session.get_outputs()],
                session.run(None, wanted),
                strict=True,
            )
        )

    values: dict[str, object] = {"image": image}
    values |= run(workshop.bundle / "device.onnx", values)
    values |= run(workshop.bundle / "server.onnx", values)
    whole = run(workshop.model, {"image": image})
    assert np.array_equal(np.asarray(values["scores"]), np.asarray(whole["scores"]))


def test_the_same_input_gives_the_same_bytes(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        "cut", workshop.model, *workshop.cut_options(), "-o", "again", folder=tmp_path
    )
    assert finished.code == 0, finished.err
    for path in workshop.bundle.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_bundle_of_the_same_model_is_replaced_whole(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    shutil.copytree(workshop.bundle, tmp_path / "net.split")
    finished = command(
        "cut", workshop.model, *workshop.cut_options(), "--cut-at", "p1", folder=tmp_path
    )
    assert finished.code == 0, finished.err
    document = json.loads((tmp_path / "net.split" / "split.json").read_text(encoding="utf-8"))
    assert [crossing["tensor"] for crossing in document["crossings"]] == ["p1"]


def test_cut_without_options_names_its_assumptions(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    shutil.copy(workshop.model, tmp_path / "net.onnx")
    finished = command("cut", "net.onnx", folder=tmp_path)
    assert finished.code == 0, finished.err
    assert (tmp_path / "net.split" / "split.json").is_file()
    said = finished.out.partition("Assumptions")[2]
    assert "device" in said
    assert "wifi" in said


def test_the_plan_s_parts_add_up_and_its_proof_is_tight(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        "plan", workshop.model, *workshop.cut_options(), "--format", "json", folder=tmp_path
    )
    document = finished.document()
    parts = document["predicted"]["parts"]
    assert sum(part["seconds"] for part in parts) == pytest.approx(
        document["predicted"]["total_seconds"], rel=1e-9
    )
    assert document["certificate"]["cut_ticks"] == document["certificate"]["flow_ticks"]
    assert set(document["baselines"]) == {"all-device", "all-server", "chain", "qdmp", "dads"}
    assert document["predicted"]["total_seconds"] <= min(document["baselines"].values()) * (
        1 + 1e-9
    )
    assert "timings" not in document


def test_merging_gives_a_model_that_equals_the_source(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        "merge", workshop.bundle, "-o", "whole.onnx", "--format", "json", folder=tmp_path
    )
    document = finished.document()
    content = (tmp_path / "whole.onnx").read_bytes()
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    merged, source = onnx.load(tmp_path / "whole.onnx"), onnx.load(workshop.model)
    assert sorted(node.name for node in merged.graph.node) == sorted(
        node.name for node in source.graph.node
    )


def test_profile_writes_what_it_prints(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        "profile",
        workshop.model,
        "-o",
        "p.json",
        "--budget",
        "300ms",
        "--format",
        "json",
        folder=tmp_path,
    )
    assert json.loads((tmp_path / "p.json").read_text(encoding="utf-8")) == finished.document()


def test_inspect_names_every_operator(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    finished = command("inspect", workshop.model, "--format", "json", folder=tmp_path)
    for name in ("conv1", "pool1", "classify"):
        assert name in finished.out


def test_markdown_holds_tables(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    finished = command(
        "plan", workshop.model, *workshop.cut_options(), "--format", "markdown", folder=tmp_path
    )
    assert re.search(r"^\| :--- \|", finished.out, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["plan", "inspect", "profile"])
def test_a_model_of_constants_alone_has_nothing_to_place_and_that_is_no_failure(
    command: Command, tmp_path: Path, name: str
) -> None:
    weights = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Neg", ["w"], ["y"], name="negate")],
        "constant",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])],
        [weights],
    )
    onnx.save(helper.make_model(graph, ir_version=9), tmp_path / "constant.onnx")
    finished = command(name, "constant.onnx", "--format", "json", folder=tmp_path)
    assert finished.code == 0, finished.err
    finished.document()
    finished = command(name, "constant.onnx", folder=tmp_path)
    assert finished.code == 0, finished.err
    if name == "plan":
        assert finished.out.startswith("Nothing to place: every output of the model is made of")


def test_narrow_crossings_are_told_alike_by_the_manifest_the_stages_and_verification(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    planned = [workshop.model, *workshop.cut_options()]
    options = ["--boundary", "int8", "--max-drift", "0.05", "-o", "narrow"]
    cut = command("cut", *planned, *options, "--format", "json", folder=tmp_path).document()
    (wire,) = cut["wires"]
    (crossing,) = cut["crossings"]
    assert (wire["tensor"], wire["wire"]) == (crossing["tensor"], "int8")
    assert crossing["wire"] == "int8"
    assert crossing["bytes"] == np.prod(crossing["shape"])
    device, server = cut["stages"]
    (given,) = [port for port in device["outputs"] if port["name"] == wire["value"]]
    (taken,) = [port for port in server["inputs"] if port["name"] == wire["value"]]
    assert given["dtype"] == taken["dtype"] == "int8"
    assert cut["plan"]["boundary"]["drift"] <= 0.05
    assert not cut["parity"]["bit_equal"]
    for arguments in ([], ["--model", workshop.model]):
        shown = command("verify", "narrow", *arguments, "--format", "json", folder=tmp_path)
        assert shown.code == 0, shown.err
        assert shown.document()["max_drift"] == 0.05
        assert not shown.document()["bit_equal"]
        assert any("drift budget" in note for note in shown.document()["notes"])
    timed = command(
        "profile",
        "--stages",
        "narrow",
        "--tier",
        "server",
        "-o",
        "t.json",
        "--budget",
        "300ms",
        folder=tmp_path,
    )
    assert timed.code == 0, timed.err
    command("merge", "narrow", "-o", "whole.onnx", folder=tmp_path)
    assert onnx.load(tmp_path / "whole.onnx").graph == onnx.load(workshop.model).graph


def test_the_same_narrow_cut_gives_the_same_bytes(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    planned = [workshop.model, *workshop.cut_options(), "--boundary", "auto", "-q"]
    for folder in ("one", "two"):
        assert command("cut", *planned, "-o", folder, folder=tmp_path).code == 0
    for name in ("device.onnx", "server.onnx", "split.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
