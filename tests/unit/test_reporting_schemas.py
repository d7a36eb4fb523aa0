import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from onnxsplit.profiles import Profile
from onnxsplit.reporting.bundle_report import BundleReport
from onnxsplit.reporting.jsontext import finite, write_json
from onnxsplit.reporting.merge_report import merge_document
from onnxsplit.reporting.plan_report import plan_document
from onnxsplit.reporting.schemas import SCHEMA_NAMES, load_schema
from onnxsplit.tiers import Link, Topology
from tests.made_results import (
    FOLDER,
    make_explanations,
    make_manifest,
    make_measured,
    make_parity,
    make_plan,
    make_profile,
    make_sensitivity,
    make_timings,
)

HAND_MADE = {
    "schema": "onnxsplit.profile/1",
    "tier": "device",
    "model": {"sha256": None, "structure": None},
    "groups": [{"operators": ["conv1", "relu1"], "seconds": 0.0012}],
    "tensors": {"conv1_out": {"dtype": "float32", "shape": [1, 64, 56, 56]}},
    "environment": {"onnxruntime": "1.32.0", "provider": "CPUExecutionProvider", "threads": 1},
}


def make_documents() -> dict[str, dict[str, Any]]:
    plan, parity = make_plan(notes=("This split moves only 1 % of the compute.",)), make_parity()
    plan = replace(
        plan,
        measured=make_measured(),
        objective_options={"iterations": 3, "labels_at": "server"},
        sensitivity=make_sensitivity(),
        explanations=make_explanations(),
    )
    manifest = make_manifest(plan, parity)
    report = BundleReport(folder=FOLDER, manifest=manifest, plan=plan, parity=parity)
    return {
        "profile": make_profile().to_json(),
        "plan": plan_document(plan, timings=True),
        "parity": parity.to_json(),
        "bundle": report.document(),
        "stages": make_timings().to_json(),
        "merge": merge_document(FOLDER, sha256="ab" * 32),
        "error": {
            "schema": "onnxsplit.error/1",
            "error": {"type": "ModelError", "message": "No.", "exit_code": 2},
        },
    }


def faults(name: str, document: Any) -> list[str]:  # noqa: ANN401 - JSON can be anything
    return [
        error.message for error in Draft202012Validator(load_schema(name)).iter_errors(document)
    ]


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_schema_is_a_schema_and_names_its_document(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"onnxsplit.{name}/1"
    assert schema["properties"]["schema"] == {"const": f"onnxsplit.{name}/1"}
    assert "schema" in schema["required"]


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        load_schema("nonsense")


@pytest.mark.parametrize("name", make_documents())
def test_what_is_written_fits_its_schema(name: str) -> None:
    assert faults(name, json.loads(write_json(make_documents()[name]))) == []


def test_the_manifest_s_own_file_fits_the_schema_too() -> None:
    plan = make_plan()
    assert faults("bundle", make_manifest(plan, make_parity()).to_json()) == []
    assert faults("bundle", make_manifest(plan, None).to_json()) == []


def test_a_profile_made_by_hand_fits_and_is_read() -> None:
    assert faults("profile", HAND_MADE) == []
    assert faults("profile", Profile.from_json(HAND_MADE).to_json()) == []


@pytest.mark.parametrize("name", make_documents())
def test_unknown_keys_are_allowed(name: str) -> None:
    assert faults(name, {**make_documents()[name], "colour": "blue"}) == []


Spoil = Callable[[dict[str, Any]], object]
SPOILED: list[tuple[str, Spoil]] = [
    ("profile", lambda d: d["groups"][0].update(seconds=-1)),
    ("profile", lambda d: d["groups"][0].update(operators=[])),
    ("profile", lambda d: d.update(evidence="guessed")),
    ("profile", lambda d: d["tensors"]["conv1_out"].update(shape=[-1])),
    ("profile", lambda d: d.pop("tier")),
    ("profile", lambda d: d.update(memory_limit_bytes=-1)),
    ("profile", lambda d: d.update(segments=[])),
    ("plan", lambda d: d.update(verdict="maybe")),
    ("plan", lambda d: d["crossings"][0].update(bytes=-1)),
    ("plan", lambda d: d["crossings"][0].pop("from")),
    ("plan", lambda d: d["predicted"]["parts"][0].pop("tier")),
    ("plan", lambda d: d["predicted"]["parts"][1].pop("link")),
    ("plan", lambda d: d["predicted"]["parts"][1].update(kind="teleport")),
    ("plan", lambda d: d["links"][0].update(up_bytes_per_second=0)),
    ("plan", lambda d: d["baselines"].update({"some-server": 1.0})),
    ("plan", lambda d: d["certificate"].update(cut_ticks=1.5)),
    ("plan", lambda d: d["certificate"].pop("flow_ticks")),
    ("plan", lambda d: d.update(tiers=["device"])),
    ("plan", lambda d: d["model"].update(sha256="short")),
    ("plan", lambda d: d["timings"].pop("solves")),
    ("parity", lambda d: d["outputs"][0].pop("max_relative")),
    ("parity", lambda d: d["outputs"][0].update(comparison="feelings")),
    ("parity", lambda d: d.update(batches=0)),
    ("plan", lambda d: d["measured"].clear()),
    ("plan", lambda d: d["measured"][0].pop("measured_seconds")),
    ("plan", lambda d: d["measured"][0]["stages"][0].update(evidence="guessed")),
    ("stages", lambda d: d["stages"][0].update(seconds=0)),
    ("stages", lambda d: d["stages"][0].pop("crossings")),
    ("stages", lambda d: d.pop("model")),
    ("bundle", lambda d: d["plan"]["certificate"].pop("flow_ticks")),
    ("bundle", lambda d: d["stages"][0].update(file="../device.onnx")),
    ("bundle", lambda d: d["stages"][0].update(sha256="short")),
    ("bundle", lambda d: d["parity"]["outputs"][0].pop("passed")),
    ("bundle", lambda d: d["yields"].update(y=3)),
    ("bundle", lambda d: d["carving"].pop("dropped")),
    ("merge", lambda d: d.update(sha256="AB" * 32)),
    ("error", lambda d: d["error"].update(exit_code=0)),
]


@pytest.mark.parametrize(("name", "spoil"), SPOILED)
def test_a_spoiled_document_is_found(name: str, spoil: Spoil) -> None:
    document = copy.deepcopy(make_documents()[name])
    assert faults(name, document) == []
    spoil(document)
    assert faults(name, document) != []


def test_what_is_not_finite_becomes_null_and_still_fits() -> None:
    assert finite({"a": [float("inf"), (float("nan"), 1)], "b": "inf"}) == {
        "a": [None, [None, 1]],
        "b": "inf",
    }
    link = Link(up_bytes_per_second=float("inf"), down_bytes_per_second=float("inf"))
    document = {**make_plan().to_json(), "links": []}
    unlimited = Topology.pair(link).hops[0][2]
    document["links"] = [
        {
            "from": "device",
            "to": "server",
            "up_bytes_per_second": unlimited.up_bytes_per_second,
            "down_bytes_per_second": unlimited.down_bytes_per_second,
            "round_trip_seconds": 0.0,
        }
    ]
    assert faults("plan", json.loads(write_json(document))) == []
