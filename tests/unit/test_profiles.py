import json
from typing import Any

import pytest

from onnxsplit.errors import ProfileError
from onnxsplit.profiles import BoundaryCost, OperatorGroup, Profile

HAND_MADE: dict[str, Any] = {
    "schema": "onnxsplit.profile/1",
    "tier": "device",
    "model": {"sha256": None, "structure": None},
    "groups": [{"operators": ["conv1", "relu1"], "seconds": 0.0012}],
    "tensors": {"conv1_out": {"dtype": "float32", "shape": [1, 64, 56, 56]}},
    "environment": {"onnxruntime": "1.32.0", "provider": "CPUExecutionProvider", "threads": 1},
}


def test_a_file_made_by_hand_with_the_documented_keys_is_accepted() -> None:
    profile = Profile.from_json(HAND_MADE)
    assert profile.total_seconds == 0.0012
    assert profile.evidence == "measured"
    assert profile.tensors["conv1_out"].size_bytes == 802_816


def test_unknown_keys_survive_reading_and_writing() -> None:
    document = {
        **HAND_MADE,
        "weather": {"rain": True},
        "groups": [{"operators": ["a"], "seconds": 1.0, "backward_seconds": 2.0, "mood": "good"}],
    }
    written = Profile.from_json(document).to_json()
    assert written["weather"] == {"rain": True}
    assert written["groups"][0]["mood"] == "good"
    assert written["groups"][0]["backward_seconds"] == 2.0
    assert Profile.from_json(json.loads(json.dumps(written))).to_json() == written


def test_costs_of_runs_and_boundaries_are_kept_and_scaled() -> None:
    document = {
        **HAND_MADE,
        "run_seconds": 0.0002,
        "tensors": {"t": {"dtype": "float32", "shape": [2], "send_seconds": 0.001}},
    }
    profile = Profile.from_json(document)
    assert profile.total_seconds == pytest.approx(0.0014)
    assert profile.boundaries["t"] == BoundaryCost(send_seconds=0.001, receive_seconds=0.0)
    assert Profile.from_json(profile.to_json()) == profile
    slower = profile.scale(0.5)
    assert slower.run_seconds == 0.0004
    assert slower.boundaries["t"].send_seconds == 0.002


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "onnxsplit.profile/2"}, "profile/2"),
        ({"tier": None}, "'tier'"),
        ({"groups": {}}, "'groups'"),
        ({"groups": [{"operators": [], "seconds": 1.0}]}, "no operators"),
        ({"groups": [{"operators": ["a"], "seconds": -1.0}]}, "'a'"),
        ({"groups": [{"operators": ["a"], "seconds": float("nan")}]}, "finite"),
        ({"groups": [{"operators": ["a"], "seconds": True}]}, "'seconds'"),
        ({"groups": [{"operators": ["a"]}]}, "'seconds'"),
        ({"groups": [{"operators": [1], "seconds": 1.0}]}, "names"),
        ({"groups": [{"operators": ["a", "a"], "seconds": 1.0}]}, "twice"),
        ({"groups": ["a"]}, "object"),
        ({"tensors": {"t": {"dtype": "float32", "shape": [-1]}}}, "'t'"),
        ({"evidence": "guessed"}, "guessed"),
        ({"model": []}, "'model'"),
    ],
)
def test_a_malformed_profile_is_refused_by_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        Profile.from_json({**HAND_MADE, **change})


@pytest.mark.parametrize("document", [[], "profile", None, 3])
def test_json_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(ProfileError, match="object"):
        Profile.from_json(document)


def test_a_scaled_profile_says_that_it_was_not_measured() -> None:
    groups = (OperatorGroup(operators=("a",), seconds=0.002, backward_seconds=0.004),)
    scaled = Profile(tier="device", groups=groups).scale(0.05)
    assert scaled.groups[0].seconds == pytest.approx(0.04)
    assert scaled.groups[0].backward_seconds == pytest.approx(0.08)
    assert scaled.evidence == "scaled"
    assert "0.05 times" in scaled.assumptions[0]
    with pytest.raises(ProfileError, match="positive"):
        scaled.scale(0)
