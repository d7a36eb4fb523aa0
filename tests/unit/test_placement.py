import pytest

from onnxsplit.errors import BundleError, ManifestVersionError, PlanError
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.placement import Placement
from onnxsplit.stage_entries import StageEntry


def test_a_placement_knows_its_verdict() -> None:
    split = Placement.of_groups({"device": ["a", "b"], "server": ["c"]})
    assert split.verdict == "split"
    assert split.is_proper
    assert split.operators("device") == ("a", "b")
    whole = Placement.of_groups({"device": ["a"], "server": []})
    assert whole.verdict == "all-device"
    assert not whole.is_proper


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(PlanError, match="'moon'"):
        Placement(tiers=("device", "server"), tier_of={"a": "moon"})


def _manifest() -> Manifest:
    port = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    stage = StageEntry(
        tier="device",
        file="device.onnx",
        sha256="00",
        inputs=(port,),
        outputs=(port,),
        operators=1,
        weight_bytes=4,
    )
    return Manifest(
        model={"sha256": "11", "structure": "22"},
        stages=(stage,),
        yields={"x": "device"},
        crossings=(),
        plan={},
        parity=None,
        carving={},
        extra={"colour": "blue"},
    )


def test_a_manifest_reads_back_as_it_was_written() -> None:
    manifest = _manifest()
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(ManifestVersionError, match="bundle/9"):
        Manifest.from_json({**_manifest().to_json(), "schema": "onnxsplit.bundle/9"})


@pytest.mark.parametrize("key", ["model", "stages", "yields", "plan"])
def test_a_manifest_without_a_key_is_refused_by_name(key: str) -> None:
    document = _manifest().to_json()
    del document[key]
    with pytest.raises(BundleError, match=key):
        Manifest.from_json(document)


@pytest.mark.parametrize("change", [{"stages": 3}, {"stages": [3]}, {"yields": 7}, {"plan": [1]}])
def test_a_manifest_with_a_wrong_type_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json({**_manifest().to_json(), **change})
