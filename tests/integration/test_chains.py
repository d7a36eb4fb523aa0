"""Three tiers, data at both ends and a decoder's cache, through the public calls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.profiling.storage import write_profile
from samples.networks import build, build_reduced
from tests.contract.workshop import fit

TIERS = ("phone", "edge", "cloud")
LINKS = ("wifi", "ethernet")
SIZES = {"batch": 1, "sequence": 3, "past": 4}

Values = dict[str, np.ndarray[Any, Any]]


def make_profiles(model: onnx.ModelProto, **dims: int) -> dict[str, Profile]:
    """Every operator takes the same time on a tier; constants are none of a profile's."""
    graph = osp.inspect(model, dims=dims).graph
    return {
        tier: Profile(
            tier=tier,
            groups=tuple(OperatorGroup(operators=(op.name,), seconds=seconds) for op in graph),
        )
        for tier, seconds in zip(TIERS, (0.004, 0.001, 0.0001), strict=True)
    }


def open_model(content: bytes | Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(content) if isinstance(content, Path) else content, options)


def run_all(session: ort.InferenceSession, feeds: Mapping[str, Any]) -> Values:
    names = [value.name for value in session.get_outputs()]
    wanted = {value.name: feeds[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, wanted), strict=True))


def run_chain(stages: Sequence[ort.InferenceSession], feeds: Mapping[str, Any]) -> Values:
    """Give each stage the model's inputs and what the one before it gives, and nothing else."""
    given: Values = {}
    outputs: Values = {}
    for stage in stages:
        given = run_all(stage, {**feeds, **given})
        outputs |= given
    return outputs


def open_stages(bundle: osp.Bundle) -> list[ort.InferenceSession]:
    return [open_model(bundle.folder / stage.file) for stage in bundle.manifest.stages]


def test_cut_gives_a_stage_for_each_tier_of_a_chain(tmp_path: Path) -> None:
    model = build_reduced("googlenet")
    bundle = osp.cut(
        model,
        tmp_path / "out",
        tiers=make_profiles(model),
        link=LINKS,
        pins=[("edge", "inception3a/*")],
    )
    assert [stage.file for stage in bundle.manifest.stages] == [f"{tier}.onnx" for tier in TIERS]
    assert bundle.plan.placement.is_proper
    assert bundle.parity is not None
    assert bundle.parity.bit_equal
    hops = {(crossing["from"], crossing["to"]) for crossing in bundle.manifest.crossings}
    assert hops == {("phone", "edge"), ("edge", "cloud")}
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    whole = run_all(open_model(model.SerializeToString()), {"image": image})
    given = run_chain(open_stages(bundle), {"image": image})
    np.testing.assert_array_equal(given["logits"], whole["logits"])
    assert osp.verify(bundle.folder, model=model).bit_equal
    osp.merge(bundle.folder, tmp_path / "merged.onnx")
    assert onnx.load(tmp_path / "merged.onnx").graph.node == model.graph.node


def test_a_chain_that_can_not_be_filled_is_refused_and_may_be_left_unfilled(
    tmp_path: Path,
) -> None:
    model = build_reduced("lenet")
    profiles = make_profiles(model)
    pins = [("cloud", "*")]
    with pytest.raises(InfeasiblePlacementError, match="no proper split under these pins"):
        osp.cut(model, tmp_path / "out", tiers=profiles, link=LINKS, pins=pins)
    bundle = osp.cut(
        model, tmp_path / "out", tiers=profiles, link=LINKS, pins=pins, allow_whole=True
    )
    assert [stage.tier for stage in bundle.manifest.stages] == ["cloud"]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_decoder_keeps_its_cache_where_its_layers_run(name: str, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"width": 1 / 6, "depth": 1 / 4 if name == "gpt2" else 1 / 10}
    free: dict[str, Any] = {"batch": "batch", "sequence_length": "sequence", **sizes}
    model = build(name, past_length="past", **free)
    layer = "h" if name == "gpt2" else "layer"
    bundle = osp.cut(
        model,
        tmp_path / "out",
        tiers=make_profiles(model, **SIZES),
        link=LINKS,
        dims=SIZES,
        pins=[("phone", f"{layer}0/*"), ("edge", f"{layer}1/*"), ("cloud", f"{layer}2/*")],
    )
    states = {state.past: state for state in bundle.plan.data.states}
    assert {states[f"past_key_values.{n}.key"].tier for n in range(3)} == set(TIERS)
    travelling = {crossing.tensor for crossing in bundle.plan.crossings}
    assert not travelling & set(states), "a cache never travels"
    for place, stage in enumerate(bundle.manifest.stages):
        pasts = {spec.name for spec in stage.inputs} & set(states)
        assert pasts == {f"past_key_values.{place}.{part}" for part in ("key", "value")}
        kept = [state for state in states.values() if state.tier == stage.tier]
        assert stage.state_bytes == sum(state.size_bytes or 0 for state in kept) > 0
    fit(bundle.manifest.to_json())
    assert any("taken to be the next run's inputs" in said for said in bundle.plan.assumptions)
    check_decoding(build(name, **free), open_stages(bundle), sorted(states))


def check_decoding(
    whole: onnx.ModelProto, stages: Sequence[ort.InferenceSession], pasts: Sequence[str]
) -> None:
    """Decode in three steps with caches, and compare with the model that sees all at once."""
    ids = np.random.default_rng(1).integers(0, 50, (1, 9))
    expected = run_all(open_model(whole.SerializeToString()), {"input_ids": ids})["logits"]
    shapes = {v.name: v.shape for stage in stages for v in stage.get_inputs() if v.name in pasts}
    cache = {n: np.zeros((1, s[1], 0, s[3]), np.float32) for n, s in shapes.items()}
    parts = []
    for start, end in ((0, 5), (5, 6), (6, 9)):
        places = np.arange(start, end)[None]
        feeds = {"input_ids": ids[:, start:end], "position_ids": places, **cache}
        given = run_chain(stages, feeds)
        parts.append(given["logits"])
        cache = {name: given[name.replace("past_key_values", "present")] for name in pasts}
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, rtol=1e-4, atol=1e-5)


def test_inputs_and_outputs_at_the_server_are_the_server_stages_own(tmp_path: Path) -> None:
    model = build_reduced("bert")
    bundle = osp.cut(
        model,
        tmp_path / "out",
        tiers=make_profiles(model),
        link=LINKS,
        input_at=[("attention_mask", "server")],
        output_at=[("logits", "server")],
        pins=[("phone", "embeddings/*"), ("edge", "layer0/*"), ("cloud", "pooler/*")],
    )
    ports = {
        stage.tier: ({s.name for s in stage.inputs}, {s.name for s in stage.outputs})
        for stage in bundle.manifest.stages
    }
    assert "attention_mask" not in ports["phone"][0]
    assert bundle.manifest.yields == {"logits": "cloud"}
    assert "logits" in ports["cloud"][1]
    assert not bundle.plan.downloads, "the result is wanted at the server"
    coming = [c for c in bundle.plan.crossings if c.tensor == "attention_mask"]
    assert [(c.source, c.target) for c in coming] == [("cloud", "edge")]
    assert bundle.parity is not None
    assert bundle.parity.bit_equal


def test_an_early_output_that_is_wanted_at_the_server_is_handed_on(tmp_path: Path) -> None:
    model = build_reduced("lenet")
    early = next(node.output[0] for node in model.graph.node if node.op_type == "Conv")
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(early, onnx.TensorProto.FLOAT, None)
    )
    first = model.graph.node[0].name
    bundle = osp.cut(
        model,
        tmp_path / "out",
        tiers=make_profiles(model),
        link=LINKS,
        output_at=[(early, "server")],
        pins=[("phone", first)],
    )
    assert bundle.manifest.yields == {"logits": "cloud", early: "cloud"}
    for stage in bundle.manifest.stages:
        assert early in {spec.name for spec in stage.outputs}
    assert bundle.parity is not None
    assert bundle.parity.bit_equal


def write_shapes(
    model: onnx.ModelProto, shapes: Sequence[dict[str, int]], folder: Path
) -> dict[str, str]:
    """Write a profile for each tier and shape; more tokens take longer."""
    files: dict[str, list[str]] = {tier: [] for tier in TIERS}
    for place, dims in enumerate(shapes):
        for tier, profile in make_profiles(model, **dims).items():
            groups = tuple(
                replace(group, seconds=group.seconds * dims["sequence"]) for group in profile.groups
            )
            path = folder / f"{tier}{place}.json"
            write_profile(replace(profile, groups=groups), path)
            files[tier].append(str(path))
    return {tier: ",".join(paths) for tier, paths in files.items()}


def test_one_cut_serves_a_prompt_and_its_tokens(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"width": 1 / 6, "depth": 1 / 4}
    free: dict[str, Any] = {"batch": "batch", "sequence_length": "sequence", **sizes}
    model = build("gpt2", past_length="past", **free)
    shapes = [
        {"batch": 1, "sequence": 12, "past": 0},
        {"batch": 1, "sequence": 1, "past": 12},
    ]
    bundle = osp.cut(
        model,
        tmp_path / "out",
        tiers=write_shapes(model, shapes, tmp_path),
        link=LINKS,
        mix=[(shapes[0], 1.0), (shapes[1], 20.0)],
        batches=1,
    )
    plan = bundle.plan
    assert [(share.dims, share.weight) for share in plan.mix] == [
        (shapes[0], 1.0),
        (shapes[1], 20.0),
    ]
    one, many = (share.prediction.total_seconds for share in plan.mix)
    assert plan.predicted.total_seconds == pytest.approx(one + 20 * many)
    assert bundle.parity is not None
    fit(bundle.manifest.to_json())
    assert bundle.parity.batches == 2, "the stages are held against the whole at both shapes"
    assert bundle.parity.bit_equal
    pasts = sorted(state.past for state in plan.data.states)
    check_decoding(build("gpt2", **free), open_stages(bundle), pasts)
