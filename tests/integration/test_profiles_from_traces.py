"""Profiles made from what onnxruntime's own profiler records, on any target."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.errors import ModelError, ProfileMismatchError, UsageError
from samples.networks import build_reduced
from tests.contract.workshop import fit


def _record(
    model: Path, folder: Path, *, runs: int = 4, optimize: bool = True
) -> tuple[Path, Path | None]:
    """Record a trace as a program on a target would, with onnxruntime alone."""
    folder.mkdir(exist_ok=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    options.log_severity_level = 4
    optimized = folder / "optimized.onnx" if optimize else None
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    else:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.ones((1, 3, 64, 64), dtype=np.float32)
    for _ in range(runs):
        session.run(None, {session.get_inputs()[0].name: image})
    return Path(session.end_profiling()), optimized


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(build_reduced("squeezenet", batch="batch"), path)
    return path


def test_a_trace_of_the_optimised_model_makes_a_profile_of_its_kernels(
    model: Path, tmp_path: Path
) -> None:
    trace, optimized = _record(model, tmp_path / "target")
    profile = osp.profile(
        model, tmp_path / "p.json", trace=trace, optimized=optimized, dims={"batch": 1}
    )
    fit(profile.to_json())
    assert profile.evidence == "measured"
    assert profile.extra["method"] == "trace"
    assert profile.extra["runs"] == 3
    assert profile.extra["attributed_share"] > 0.9
    assert profile.environment == {"provider": "CPUExecutionProvider"}
    assert any("trace" in sentence for sentence in profile.assumptions)
    names = {node.name for node in onnx.load(model).graph.node}
    assert {name for group in profile.groups for name in group.operators} == names
    assert any(len(group.operators) > 1 for group in profile.groups), "nothing was fused"
    records = json.loads(trace.read_text())
    kernels = [record for record in records if record["name"].endswith("_kernel_time")]
    recorded = sum(record["dur"] for record in kernels) * 1e-6
    assert profile.total_seconds == pytest.approx(recorded / 4, rel=0.9)
    plan = osp.plan(model, device=tmp_path / "p.json", server=profile, require_split=True)
    assert plan.placement.is_proper


def test_a_trace_without_optimisations_needs_no_optimised_model(
    model: Path, tmp_path: Path
) -> None:
    trace, _ = _record(model, tmp_path / "plain", runs=1, optimize=False)
    profile = osp.profile(model, trace=trace, dims={"batch": 1})
    assert all(len(group.operators) == 1 for group in profile.groups)
    assert profile.extra["runs"] == 1
    assert all(group.seconds > 0 for group in profile.groups)


def test_traces_that_do_not_fit_are_refused(model: Path, tmp_path: Path) -> None:
    trace, optimized = _record(model, tmp_path / "target")
    plain, _ = _record(model, tmp_path / "plain", optimize=False)
    other = tmp_path / "other.onnx"
    onnx.save(build_reduced("resnet18"), other)
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (model, {"trace": trace}, "--optimized"),
        (model, {"trace": plain, "optimized": optimized}, "same session"),
        (other, {"trace": plain}, "of the trace's time"),
        (model, {"trace": trace, "optimized": optimized, "dims": {"batch": 2}}, "--dim"),
    ]
    for path, options, wanted in cases:
        named = {"dims": {"batch": 1}, **options}
        if path == other:
            named.pop("dims")
        with pytest.raises(ProfileMismatchError, match=wanted):
            osp.profile(path, **named)


def test_files_that_are_no_traces_are_refused(model: Path, tmp_path: Path) -> None:
    trace, optimized = _record(model, tmp_path / "target", runs=0)
    text = tmp_path / "text.json"
    text.write_text('{"cat" : "model_run kernel_time"')
    empty = tmp_path / "empty.onnx"
    empty.touch()
    full, _ = _record(model, tmp_path / "full")
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"trace": tmp_path / "nothing.json"}, UsageError, "can't be read"),
        ({"trace": text}, UsageError, "no trace"),
        ({"trace": trace, "optimized": optimized}, UsageError, "no complete run"),
        ({"trace": full, "optimized": empty}, ModelError, "no ONNX model"),
        ({"trace": full, "optimized": text}, ModelError, "no ONNX model"),
        ({"trace": full, "optimized": tmp_path / "no.onnx"}, UsageError, "can't be read"),
        ({"optimized": optimized}, UsageError, "--trace"),
        ({"trace": full, "memory": "1 GB"}, UsageError, "--memory"),
    ]
    for options, kind, wanted in cases:
        with pytest.raises(kind, match=wanted):
            osp.profile(model, dims={"batch": 1}, **options)
