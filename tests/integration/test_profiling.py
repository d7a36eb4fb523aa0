import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Feeds, KernelEvent, Session, Value
from onnxsplit.errors import ModelError, UsageError
from onnxsplit.graph import ModelIdentity, TensorSpec
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.profiling import rounds
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.measurement import profile_model
from onnxsplit.profiling.sampling import StopRule
from tests.engine_models import (
    build_model,
    chain_model,
    control_flow_model,
    external_model,
    floats,
    function_model,
    half_precision_model,
    relu_model,
)

OPTIONS = EngineOptions(threads=1)
FEEDS: Mapping[str, tuple[int, ...]] = {
    "chain": (1, 3, 16, 16),
    "control": (2, 4),
    "function": (1, 4, 8, 8),
    "half": (1, 4, 8, 8),
}
MODELS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "chain": chain_model,
    "control": control_flow_model,
    "function": function_model,
    "half": half_precision_model,
}


def times_overhead(model: bytes | Path) -> bool:
    """Tell the small models of the profiler's own from the one that is profiled."""
    assert isinstance(model, bytes)
    return onnx.load_from_string(model).graph.name != "g"


@dataclass
class Sessions:
    """Opens real sessions and counts those that are traced."""

    traced: int = 0

    def __call__(
        self,
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        self.traced += trace and not times_overhead(model)
        return open_session(model, options, base_folder=base_folder, trace=trace)


@dataclass
class FakeClock:
    """Stands still unless it is told to move."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Slowed:
    """A real session each of whose runs moves a clock."""

    session: Session
    clock: FakeClock
    seconds: float

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.session.outputs

    @property
    def executed(self) -> onnx.GraphProto | None:
        return self.session.executed

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Value]:
        self.clock.now += self.seconds
        return self.session.run(feeds, outputs)

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        call = self.session.bind(feeds)

        def run_slowly() -> None:
            call()
            self.clock.now += self.seconds

        return run_slowly

    def end_profiling(self) -> tuple[KernelEvent, ...]:
        return self.session.end_profiling()

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def slow_instruments(*, plain_seconds: float, traced_seconds: float) -> Instruments:
    clock = FakeClock()

    def open_slowed(
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        session = open_session(model, options, base_folder=base_folder, trace=trace)
        if times_overhead(model):
            return session
        return Slowed(session, clock, traced_seconds if trace else plain_seconds)

    return Instruments(clock=clock, open_session=open_slowed)


@dataclass
class Reports:
    """Keeps what is reported."""

    seen: list[tuple[str, int, int | None]] = field(default_factory=list)

    def report(self, label: str, *, done: int = 0, total: int | None = None) -> None:
        self.seen.append((label, done, total))


def prepare(name: str) -> Subject:
    model = load_model(MODELS[name]())
    dtype = np.float16 if name == "half" else np.float32
    feeds = {"x": np.ones(FEEDS[name], dtype=dtype)}
    return Subject(model=model, graph=read_graph(model, {}), feeds=feeds)


def quick(**changes: Any) -> Instruments:  # noqa: ANN401 - any field of Instruments
    rule = StopRule(most_runs=3, agreement=math.inf)
    return replace(Instruments(rule=rule), **changes)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("chain", ["conv relu", "mul", "sigmoid"]),
        ("control", ["sum", "positive", "if", "loop", "last"]),
        ("function", ["call_1", "between", "call_2", "norm"]),
        ("half", ["conv relu"]),
    ],
)
def test_the_groups_are_the_kernels_and_add_up_to_the_whole(name: str, groups: list[str]) -> None:
    subject = prepare(name)
    profile = profile_model(subject, OPTIONS, tier="device", instruments=quick())
    assert [" ".join(group.operators) for group in profile.groups] == groups
    assert all(group.seconds > 0 for group in profile.groups)
    rounding = 0.5e-9 * (len(profile.groups) + 2)
    assert profile.total_seconds == pytest.approx(profile.extra["whole_seconds"], abs=rounding)
    assert profile.extra["method"] == "fused"
    assert profile.extra["attributed_share"] == 1.0
    assert profile.extra["untimed"] == []
    assert profile.extra["unattributed_seconds"] == 0.0
    assert profile.extra["fell_back"] == []
    assert profile.extra["runs"] == 3
    assert profile.extra["memory"]["peak_bytes"] > 0
    assert profile.environment["threads"] == 1
    assert profile.run_seconds > 0
    assert profile.model == subject.model.identity


def test_measuring_twice_gives_the_same_but_for_the_times() -> None:
    subject = prepare("function")
    first, second = (
        profile_model(subject, OPTIONS, tier="device", instruments=quick()) for _ in range(2)
    )
    assert [group.operators for group in first.groups] == [
        group.operators for group in second.groups
    ]
    assert set(first.to_json()) == set(second.to_json())
    for key in ("method", "runs", "untimed", "placement_by_provider", "fell_back"):
        assert first.extra[key] == second.extra[key]


def test_constants_are_folded_and_not_among_the_groups() -> None:
    profile = profile_model(prepare("chain"), OPTIONS, tier="device", instruments=quick())
    assert "folded" not in {name for group in profile.groups for name in group.operators}


def test_a_loops_body_is_counted_once_with_its_loop() -> None:
    subject = prepare("control")
    profile = profile_model(subject, OPTIONS, tier="device", instruments=quick())
    seconds = {group.operators[0]: group.seconds for group in profile.groups}
    # Before loading, a node of the loop's body had the name of the last operator.
    assert set(seconds) == {"sum", "positive", "if", "loop", "last"}
    assert seconds["loop"] > seconds["last"]


def test_only_the_plain_sessions_runs_count_as_the_whole_models_time() -> None:
    instruments = slow_instruments(plain_seconds=0.01, traced_seconds=0.03)
    profile = profile_model(prepare("chain"), OPTIONS, tier="device", instruments=instruments)
    assert profile.extra["whole_seconds"] == pytest.approx(0.01)
    assert profile.total_seconds == pytest.approx(0.01)
    assert profile.extra["runs"] == 24
    assert profile.extra["interval_relative"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("seconds", "runs"), [(30.0, 3), (2.0, 5), (0.5, 16)])
def test_slow_models_are_run_less_often(seconds: float, runs: int) -> None:
    instruments = slow_instruments(plain_seconds=seconds / 2, traced_seconds=seconds / 2)
    rule = replace(instruments.rule, interval=-1.0)
    instruments = replace(instruments, rule=rule)
    profile = profile_model(prepare("chain"), OPTIONS, tier="device", instruments=instruments)
    assert profile.extra["runs"] == runs


def test_tracing_stops_before_its_records_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_MOST_EVENTS", 1)
    instruments = slow_instruments(plain_seconds=0.001, traced_seconds=1.0)
    instruments = replace(
        instruments, rule=StopRule(budget_seconds=1e6, most_runs=9, agreement=math.inf)
    )
    profile = profile_model(prepare("chain"), OPTIONS, tier="device", instruments=instruments)
    assert profile.extra["runs"] == 9
    warm_ups, blocks = 3, 2 * 4
    assert instruments.clock() == pytest.approx(warm_ups + blocks, abs=0.1)


def test_model_and_kernels_that_disagree_are_measured_once_more() -> None:
    instruments = slow_instruments(plain_seconds=0.01, traced_seconds=0.01)
    instruments = replace(instruments, rule=StopRule(most_runs=3))
    reports = Reports()
    profile = profile_model(
        prepare("chain"), OPTIONS, tier="device", instruments=replace(instruments, progress=reports)
    )
    assert profile.extra["measurements"] == 2
    assert profile.extra["disagreement"] > 0.5
    assert {label for label, _, _ in reports.seen} == {"profiling", "profiling again"}


def test_progress_rises_to_the_end() -> None:
    reports = Reports()
    profile_model(prepare("chain"), OPTIONS, tier="device", instruments=quick(progress=reports))
    done = [done for _, done, _ in reports.seen]
    assert done == sorted(done)
    assert reports.seen[-1] == ("profiling", 100, 100)


def test_the_second_time_comes_from_the_cache(tmp_path: Path) -> None:
    cache, sessions = ProfileCache(folder=tmp_path), Sessions()
    instruments = quick(open_session=sessions)
    subject = prepare("chain")
    first = profile_model(subject, OPTIONS, tier="device", cache=cache, instruments=instruments)
    assert sessions.traced == 1
    again = profile_model(subject, OPTIONS, tier="server", cache=cache, instruments=instruments)
    assert sessions.traced == 1
    assert again == replace(first, tier="server")


@pytest.mark.parametrize("change", ["threads", "shape", "model"])
def test_another_measurement_is_not_taken_from_the_cache(tmp_path: Path, change: str) -> None:
    cache, sessions = ProfileCache(folder=tmp_path), Sessions()
    instruments = quick(open_session=sessions)
    model = load_model(relu_model())
    subject = Subject(
        model=model,
        graph=read_graph(model, {}),
        feeds={"x": np.ones((1, 4), dtype=np.float32)},
    )
    profile_model(subject, OPTIONS, tier="device", cache=cache, instruments=instruments)
    options = OPTIONS
    if change == "threads":
        options = replace(OPTIONS, threads=2)
    elif change == "shape":
        subject = replace(subject, feeds={"x": np.ones((2, 4), dtype=np.float32)})
    else:
        subject = replace(
            subject, graph=replace(subject.graph, identity=ModelIdentity(sha256="other"))
        )
    profile_model(subject, options, tier="device", cache=cache, instruments=instruments)
    assert sessions.traced == 2


def test_a_corrupt_entry_or_one_of_other_operators_is_measured_anew(tmp_path: Path) -> None:
    cache, sessions = ProfileCache(folder=tmp_path), Sessions()
    instruments = quick(open_session=sessions)
    subject = prepare("chain")

    def measure() -> int:
        profile_model(subject, OPTIONS, tier="device", cache=cache, instruments=instruments)
        return sessions.traced

    assert measure() == 1
    (entry,) = tmp_path.iterdir()
    entry.write_text(entry.read_text(encoding="utf-8").replace("sigmoid", "other"), "utf-8")
    assert measure() == 2
    entry.write_text("{", encoding="utf-8")
    assert measure() == 3
    assert measure() == 3


def test_a_model_without_a_hash_is_never_cached(tmp_path: Path) -> None:
    subject = prepare("chain")
    anonymous = replace(subject, graph=replace(subject.graph, identity=ModelIdentity()))
    cache = ProfileCache(folder=tmp_path)
    profile_model(anonymous, OPTIONS, tier="device", cache=cache, instruments=quick())
    assert not list(tmp_path.iterdir())


def test_weights_in_other_files_are_found(tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(external_model("w.bin").SerializeToString())
    model = load_model(path)
    subject = Subject(
        model=model, graph=read_graph(model, {}), feeds={"x": np.ones(4, dtype=np.float32)}
    )
    profile = profile_model(subject, OPTIONS, tier="device", instruments=quick())
    assert [group.operators for group in profile.groups] == [("add",)]


def test_unnamed_nodes_and_names_that_traces_must_escape_are_timed() -> None:
    odd = 'a "quoted"\\ name\n_kernel_time'
    model = load_model(
        build_model(
            [
                helper.make_node("Relu", ["x"], ["r"]),
                helper.make_node("Neg", ["r"], ["n"], name=odd),
                helper.make_node("Abs", ["n"], ["y"]),
            ],
            [floats("x", [4])],
            [floats("y", [4])],
        )
    )
    subject = Subject(
        model=model, graph=read_graph(model, {}), feeds={"x": np.ones(4, dtype=np.float32)}
    )
    profile = profile_model(subject, OPTIONS, tier="device", instruments=quick())
    assert [group.operators[0] for group in profile.groups] == ["Relu_0", odd, "Abs_2"]
    assert profile.extra["untimed"] == []


def test_a_model_that_fails_to_run_gives_a_model_error_and_leaves_no_cache(
    tmp_path: Path,
) -> None:
    model = load_model(
        build_model(
            [helper.make_node("Reshape", ["x", "s"], ["y"], name="fold")],
            [floats("x", ["N"])],
            [floats("y", None)],
            initializers=[helper.make_tensor("s", onnx.TensorProto.INT64, [1], [3])],
        )
    )
    subject = Subject(
        model=model, graph=read_graph(model, {}), feeds={"x": np.ones(8, dtype=np.float32)}
    )
    cache = ProfileCache(folder=tmp_path)
    with pytest.raises(ModelError, match="operator 'fold'"):
        profile_model(subject, OPTIONS, tier="device", cache=cache, instruments=quick())
    assert not list(tmp_path.iterdir())


def test_a_missing_input_is_named() -> None:
    subject = replace(prepare("chain"), feeds={})
    with pytest.raises(UsageError, match="'x'"):
        profile_model(subject, OPTIONS, tier="device", instruments=quick())
