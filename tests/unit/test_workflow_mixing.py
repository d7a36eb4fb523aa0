"""What callers say of several shapes."""

from pathlib import Path
from typing import Any

import pytest

from onnxsplit.cli.arguments import parse_mix
from onnxsplit.errors import UsageError
from onnxsplit.profiles import Profile
from onnxsplit.workflows.grounds import Surroundings
from onnxsplit.workflows.mixing import check_mix, choose_sources

TWO = (({"seq": 128}, 1.0), ({"seq": 1}, 64.0))


def make_surroundings(**tiers: Any) -> Surroundings:  # noqa: ANN401 - texts and profiles
    return Surroundings(device="local:0.05", server="local", links=("wifi",), tiers=tiers)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("batch=1,seq=128:1", ({"batch": 1, "seq": 128}, 1.0)),
        ("past=0:0.5", ({"past": 0}, 0.5)),
        ("a:b=2:3", ({"a:b": 2}, 3.0)),
    ],
)
def test_a_shape_and_its_weight_are_read(text: str, entry: tuple[dict[str, int], float]) -> None:
    assert parse_mix([text]) == (entry,)


@pytest.mark.parametrize(
    "text", ["seq=1", "seq=1:", ":1", "seq=1:0", "seq=1:-2", "seq=1:inf", "seq=1:x", "seq=-1:1"]
)
def test_a_malformed_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--mix batch=1,seq=128:1") as caught:
        parse_mix([text])
    assert repr(text) in str(caught.value) or repr("") in str(caught.value)


@pytest.mark.parametrize(
    ("mix", "given", "told"),
    [
        (TWO[:1], {}, "two shapes at least"),
        ((TWO[0], TWO[0]), {}, "names seq=128 twice"),
        (TWO, {"has_inputs": True}, "--inputs holds for one shape"),
        (TWO, {"has_costs": True}, "--costs holds for one shape"),
    ],
)
def test_what_is_no_mix_is_refused(mix: Any, given: dict[str, bool], told: str) -> None:  # noqa: ANN401 - as callers write it
    with pytest.raises(UsageError, match=told):
        check_mix(mix, **{"has_inputs": False, "has_costs": False, "has_wires": False, **given})


def test_profiles_are_taken_in_the_order_of_the_mix_and_this_machine_serves_all() -> None:
    surroundings = make_surroundings(phone="a.json, b.json", edge="local:0.5")
    chosen = [choose_sources(surroundings, place, 2) for place in range(2)]
    assert [entry.tiers["phone"] for entry in chosen] == ["a.json", "b.json"]
    assert [entry.tiers["edge"] for entry in chosen] == ["local:0.5"] * 2
    assert [entry.device for entry in chosen] == ["local:0.05"] * 2


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a.json", r"--tier phone a\.json is 1 profile, and a mix of 2 shapes needs 2"),
        ("a.json,b.json,c.json", "is 3 profiles"),
        (Profile(tier="phone", groups=()), "--tier phone is one profile"),
    ],
)
def test_a_profile_of_one_shape_does_not_serve_another(source: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        choose_sources(make_surroundings(phone=source, cloud="local"), 0, 2)


def test_a_file_whose_name_holds_a_comma_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a,b.json"
    path.touch()
    with pytest.raises(UsageError, match="is 1 profile"):
        choose_sources(make_surroundings(phone=path, cloud="local"), 0, 2)
