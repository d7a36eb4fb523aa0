"""Results made by hand, as the workflows would return them."""

import math
from dataclasses import replace
from pathlib import Path

from onnxsplit.evidence import OutputParity, ParityResult, StageTiming, StageTimings
from onnxsplit.graph import ModelIdentity, TensorSpec
from onnxsplit.manifest import CarvingReport, Manifest
from onnxsplit.measured import MeasuredCandidate, MeasuredStage
from onnxsplit.outlook import Explanation, OtherTier, ParameterRange, Sensitivity, Successor
from onnxsplit.placement import Crossing, Placement
from onnxsplit.planned import Alternative, Plan, SolverStatistics
from onnxsplit.prediction import Certificate, CostPart, Prediction
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.stage_entries import StageEntry
from onnxsplit.tiers import LINK_PRESETS, Topology

IDENTITY = ModelIdentity(sha256="ab" * 32, structure="cd" * 32)
FOLDER = Path("squeezenet.split")
WAY = "device->server"


def make_crossing(
    tensor: str = "fire3/concat_1", shape: tuple[int, ...] = (1, 128, 55, 55)
) -> Crossing:
    size_bytes = 4
    for dim in shape:
        size_bytes *= dim
    return Crossing(
        tensor=tensor,
        source="device",
        target="server",
        dtype="float32",
        shape=shape,
        size_bytes=size_bytes,
    )


def make_prediction(
    *, device: float = 0.0361, upload: float = 0.1239, server: float = 0.0042
) -> Prediction:
    parts = (
        CostPart(kind="compute", where="device", seconds=device, evidence="scaled"),
        CostPart(kind="upload", where=WAY, seconds=upload, evidence="assumed"),
        CostPart(kind="compute", where="server", seconds=server, evidence="measured"),
        CostPart(kind="download", where=WAY, seconds=0.00032, evidence="assumed"),
        CostPart(kind="round_trip", where=WAY, seconds=0.005, evidence="assumed"),
    )
    return Prediction(total_seconds=sum(part.seconds for part in parts), parts=parts)


def make_plan(
    *,
    crossings: tuple[Crossing, ...] | None = None,
    verdict: str = "all-server",
    notes: tuple[str, ...] = (),
) -> Plan:
    operators = [f"op_{place}" for place in range(6)]
    placement = Placement.of_groups({"device": operators[:2], "server": operators[2:]})
    later = Placement.of_groups({"device": operators[:4], "server": operators[4:]})
    return Plan(
        model=IDENTITY,
        objective="latency",
        topology=Topology.pair(LINK_PRESETS["wifi"]),
        verdict=verdict,
        placement=placement,
        crossings=(make_crossing(),) if crossings is None else crossings,
        downloads=(
            Crossing(
                tensor="softmaxout_1",
                source="server",
                target="device",
                dtype="float32",
                shape=(1, 1000, 1, 1),
                size_bytes=4000,
            ),
        ),
        predicted=make_prediction(),
        certificate=Certificate(
            cut_ticks=169_520_000,
            flow_ticks=169_520_000,
            tick_seconds=1e-9,
            rounding_bound_seconds=6.6e-8,
            restriction="proper splits",
        ),
        statistics=SolverStatistics(vertices=134, arcs=402, solves=67, seconds=0.0123),
        alternatives=(
            Alternative(
                reason="next cut",
                placement=later,
                prediction=make_prediction(device=0.09, upload=0.07),
                crossings=(make_crossing("pool5", (1, 512, 13, 13)),),
            ),
        ),
        baselines={"all-device": 0.2441, "all-server": 0.0653},
        assumptions=(
            "The device was not measured: it is taken to be 0.05 times as fast as this machine.",
            "The link is nominal wifi: up 100 Mbit/s, down 100 Mbit/s, round trip 5 ms.",
        ),
        notes=notes,
    )


def make_measured() -> tuple[MeasuredCandidate, ...]:
    """Two candidates: one measured on both tiers and taken, one corrected."""
    placement = make_plan().placement
    both = (
        MeasuredStage(
            tier="device",
            predicted_seconds=0.0361,
            measured_seconds=0.04,
            corrected_seconds=0.04,
            evidence="scaled",
        ),
        MeasuredStage(
            tier="server",
            predicted_seconds=0.0042,
            measured_seconds=0.004,
            corrected_seconds=0.004,
            evidence="measured",
        ),
    )
    return (
        MeasuredCandidate(
            placement=placement,
            crossings=(make_crossing(),),
            predicted_seconds=0.1695,
            corrected_seconds=0.1732,
            stages=both,
            is_chosen=True,
        ),
        MeasuredCandidate(
            placement=placement,
            crossings=(make_crossing("pool5", (1, 512, 13, 13)),),
            predicted_seconds=0.18,
            corrected_seconds=0.19,
            stages=(both[0], replace(both[1], measured_seconds=None)),
        ),
    )


def make_timings() -> StageTimings:
    return StageTimings(
        model=IDENTITY,
        sizes={"data_0": (1, 3, 224, 224)},
        timings=tuple(
            StageTiming(
                tier=tier,
                crossings=("fire3/concat_1",),
                operators=operators,
                seconds=seconds,
                runs=30,
                interval_relative=None if tier == "device" else 0.013,
            )
            for tier, operators, seconds in (("device", 2, 0.04), ("server", 4, 0.004))
        ),
        environment={"onnxruntime": "1.32.0", "threads": 1},
    )


def make_parity(*, passed: bool = True) -> ParityResult:
    output = OutputParity(
        output="softmaxout_1",
        dtype="float32",
        bit_equal=passed,
        max_absolute=3.6e-7,
        max_relative=5.9e-7,
        tolerance=1e-4,
        matching_nans=0,
        passed=passed,
        problem="" if passed else "the largest difference is 0.4, more than 0.0001 allows.",
    )
    return ParityResult(outputs=(output,), batches=2, source="drawn with seed 0")


def make_manifest(plan: Plan, parity: ParityResult | None) -> Manifest:
    image = TensorSpec(name="data_0", dtype="float32", shape=("batch", 3, 224, 224))
    middle = TensorSpec(name="fire3/concat_1", dtype="float32", shape=("batch", 128, 55, 55))
    result = TensorSpec(name="softmaxout_1", dtype="float32", shape=("batch", 1000, 1, 1))
    ports = (("device", image, middle, 2, 220_000), ("server", middle, result, 4, 4_700_000))
    stages = tuple(
        StageEntry(
            tier=tier,
            file=f"{tier}.onnx",
            sha256="ef" * 32,
            inputs=(taken,),
            outputs=(given,),
            operators=operators,
            weight_bytes=weight_bytes,
            threads=2,
            peak_bytes=2_500_000 if tier == "device" else None,
        )
        for tier, taken, given, operators, weight_bytes in ports
    )
    specs = [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape or ())} for s in (image,)]
    return Manifest(
        model={
            "sha256": IDENTITY.sha256,
            "structure": IDENTITY.structure,
            "inputs": specs,
            "outputs": [],
        },
        stages=stages,
        yields={"softmaxout_1": "server"},
        crossings=tuple(crossing.to_json() for crossing in plan.crossings),
        plan=plan.to_json(),
        parity=None if parity is None else parity.to_manifest(),
        carving=CarvingReport(notes=("One dead operator was dropped.",)).to_json(),
    )


def make_profile() -> Profile:
    return Profile(
        tier="device",
        model=IDENTITY,
        groups=tuple(
            OperatorGroup(operators=(f"conv{place}", f"relu{place}"), seconds=0.001 * (place + 1))
            for place in range(12)
        ),
        tensors={"conv1_out": TensorSpec(name="conv1_out", dtype="float32", shape=(1, 64, 56, 56))},
        environment={"onnxruntime": "1.32.0", "provider": "CUDAExecutionProvider", "threads": 1},
        assumptions=("Operators were timed unfused.",),
        extra={
            "method": "unfused-scaled",
            "runs": 41,
            "interval_relative": 0.018,
            "untimed": [],
            "placement_by_provider": {
                "CUDAExecutionProvider": ["conv0", "relu0"],
                "CPUExecutionProvider": ["conv1"],
            },
            "fell_back": ["conv1"],
        },
    )


def make_sensitivity() -> Sensitivity:
    """An uplink with both ends, one without, and a speed with one."""
    server = Successor(verdict="all-server", crossings=("data_0",))
    rate = ParameterRange(
        parameter="up_bytes_per_second",
        where=WAY,
        value=12.5e6,
        least=2e6,
        most=14.5e6,
        below=Successor(verdict="all-device", crossings=()),
        above=server,
        regret_if_halved_seconds=0.0,
        regret_if_doubled_seconds=0.0118,
    )
    free = replace(
        rate,
        parameter="down_bytes_per_second",
        value=math.inf,
        least=0.0,
        most=math.inf,
        below=None,
        above=None,
        regret_if_halved_seconds=None,
        regret_if_doubled_seconds=None,
    )
    speed = replace(
        rate, parameter="speed", where="server", value=1.0, least=0.5, most=math.inf, above=None
    )
    return Sensitivity(of=server, ranges=(rate, free, speed))


def make_explanations() -> tuple[Explanation, ...]:
    """One operator that could move at a cost, and one that can't."""
    return (
        Explanation(
            operator="op_1",
            tier="device",
            others=(
                OtherTier(
                    tier="server",
                    difference_seconds=0.0046,
                    moved=("op_0", "op_1"),
                    crossings=("data_0",),
                    crossing_bytes=602_112,
                ),
            ),
        ),
        Explanation(
            operator="op_0",
            tier="device",
            others=(
                OtherTier(
                    tier="server", difference_seconds=None, obstacle="it is pinned to the device"
                ),
            ),
        ),
    )
