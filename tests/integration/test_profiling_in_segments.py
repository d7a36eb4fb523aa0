"""Models that do not fit the memory: profiled in segments, each loaded alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxsplit as osp
from onnxsplit.engines import ort
from onnxsplit.engines.residence import read_peak, settle_memory
from onnxsplit.errors import UsageError
from onnxsplit.workflows import small_memory
from samples.networks import build_reduced
from tests.contract.workshop import fit


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(
        build_reduced("vgg19"), path, save_as_external_data=True, location="w", size_threshold=64
    )
    return path


def _weigh(path: Path) -> dict[str, int]:
    proto = onnx.load(path, load_external_data=False)
    return {
        tensor.name: int(onnx.numpy_helper.to_array(tensor, str(path.parent)).nbytes)
        for tensor in proto.graph.initializer
    }


def test_a_model_that_does_not_fit_is_measured_in_segments_and_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    real: Any = vars(ort)["load_native"]

    def load_watched(content: Any, *arguments: Any) -> Any:  # noqa: ANN401 - onnxruntime's own
        assert isinstance(content, bytes)
        proto = onnx.load_from_string(content)
        loaded.append(sum(_weigh_tensors(proto.graph.initializer)))
        return real(content, *arguments)

    monkeypatch.setattr(ort, "load_native", load_watched)
    whole = sum(_weigh(model).values())
    largest = max(_weigh(model).values())
    limit = 2 * largest + whole // 3
    profile = osp.profile(
        model, tmp_path / "p.json", threads=1, memory=f"{limit} B", budget="300 ms"
    )
    fit(profile.to_json())
    segments = profile.extra["segments"]
    assert len(segments) > 1
    assert max(loaded) <= limit / 2 < whole, "more than a segment was loaded"
    names = [node.name for node in onnx.load(model, load_external_data=False).graph.node]
    assert [name for group in profile.groups for name in group.operators] == names
    assert sum(segment["operators"] for segment in segments) == len(names)
    assert sum(segment["weight_bytes"] for segment in segments) == whole
    assert sum(group.extra["weight_bytes"] for group in profile.groups) == whole
    assert all(group.seconds >= 0 for group in profile.groups)
    assert profile.extra["memory_limit_bytes"] == profile.extra["memory_budget_bytes"] == limit
    assert profile.extra["whole_peak_bytes"] > whole
    assert any("segments" in sentence for sentence in profile.assumptions)
    plan = osp.plan(model, device=tmp_path / "p.json", server=profile, require_split=True)
    assert plan.placement.is_proper


def _weigh_tensors(tensors: Sequence[onnx.TensorProto]) -> list[int]:
    sizes = []
    for tensor in tensors:
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        count = 1
        for dim in tensor.dims:
            count *= dim
        sizes.append(item * count)
    return sizes


def test_a_model_that_fits_is_measured_whole(model: Path) -> None:
    profile = osp.profile(model, threads=1, memory="10 GB", budget="200 ms", cache=False)
    assert "segments" not in profile.extra
    assert profile.extra["memory_limit_bytes"] == 10_000_000_000
    assert "memory_budget_bytes" not in profile.extra


@pytest.mark.parametrize(
    ("memory", "wanted"),
    [("512", "unit"), ("0 MB", "--memory"), ("1 kB", "does not fit"), ("much", "much")],
)
def test_a_memory_that_is_none_or_too_small_is_refused(
    model: Path, memory: str, wanted: str
) -> None:
    with pytest.raises(UsageError, match=wanted):
        osp.profile(model, threads=1, memory=memory)


def test_pauses_are_refused_where_the_whole_does_not_run(model: Path) -> None:
    limit = 2 * max(_weigh(model).values()) + sum(_weigh(model).values()) // 3
    with pytest.raises(UsageError, match=r"--idle-gap .* does not fit .* --memory"):
        osp.profile(model, threads=1, memory=f"{limit} B", idle_gap="1 ms")


def test_a_profile_tells_both_what_runs_take_after_pauses_and_without(model: Path) -> None:
    profile = osp.profile(model, threads=1, budget="100 ms", idle_gap="1 ms", cache=False)
    fit(profile.to_json())
    idle = profile.to_json()["idle"]
    assert idle["gap_seconds"] == 0.001
    assert idle["runs"] >= 3
    assert idle["seconds"] > 0
    assert idle["back_to_back_seconds"] > 0


def test_a_segment_that_takes_more_than_it_was_given_is_named(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = vars(small_memory)["profile_segments"]

    def profile_swollen(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the real one
        profile = real(*arguments, **named)
        profile.extra["segments"][0]["resident_bytes"] = 10**12
        return profile

    monkeypatch.setattr(small_memory, "profile_segments", profile_swollen)
    limit = 2 * max(_weigh(model).values()) + sum(_weigh(model).values()) // 3
    profile = osp.profile(model, threads=1, memory=f"{limit} B", budget="100 ms")
    assert any(
        sentence.startswith("Segment 1") and "took more memory" in sentence
        for sentence in profile.assumptions
    )


def test_the_peak_of_this_process_rises_with_what_it_holds() -> None:
    before = settle_memory()
    if before is None:
        pytest.skip("this system does not tell")
    held = bytearray(b"x" * 50_000_000)
    peak = read_peak()
    assert peak is not None
    assert 50_000_000 <= peak - before < 150_000_000
    del held
