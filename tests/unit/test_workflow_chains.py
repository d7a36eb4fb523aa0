"""Chains with tiers of the caller's own names."""

from typing import Any

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.model.bundle import name_files
from onnxsplit.planning.costs.coarsening import coarsen
from onnxsplit.planning.cuts.separators import place_cut
from onnxsplit.planning.demands.conflicts import Demands, explain_conflict
from onnxsplit.planning.demands.constraints import Constraints, resolve_pins
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link
from onnxsplit.workflows.chains import list_links, read_chain, read_links
from onnxsplit.workflows.grounds import Surroundings
from onnxsplit.workflows.targets import LocalTier

TIERS = ("phone", "edge", "cloud")


def make_line(*names: str) -> OperatorGraph:
    """Operators in a row: x -> a -> b -> ..."""
    values = ("x", *(f"{name}:0" for name in names))
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(
            Operator(
                name=name,
                op_type="Relu",
                domain="",
                index=place,
                inputs=(values[place],),
                outputs=(values[place + 1],),
            )
            for place, name in enumerate(names)
        ),
        tensors={v: TensorSpec(name=v, dtype="float32", shape=(4,)) for v in values},
        inputs=("x",),
        outputs=(values[-1],),
    )


LINE = make_line("a", "b", "c", "d")


def test_a_chain_is_read_in_order() -> None:
    chain = read_chain({"phone": "local:0.1", "edge": "local:0.5", "cloud": "local"})
    assert tuple(chain) == TIERS
    assert chain["edge"] == LocalTier(speed=0.5)
    topology = read_links(("wifi", "ethernet"), TIERS)
    assert topology.tiers == TIERS
    assert [link.label for link in topology.links] == ["wifi", "ethernet"]


def test_one_link_can_be_given_as_itself() -> None:
    link = Link.parse("wifi")
    assert list_links(link) == (link,)
    assert list_links("20 Mbit/s") == ("20 Mbit/s",)
    assert list_links(["wifi", link]) == ("wifi", link)


@pytest.mark.parametrize("links", [(), ("wifi",), ("wifi",) * 3])
def test_links_that_do_not_fit_the_tiers_are_counted(links: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=rf"need 2 links.*not {len(links)}; give --link 2 times"):
        read_links(links, TIERS)


@pytest.mark.parametrize("flag", ["uplink", "downlink", "rtt"])
def test_single_figures_of_several_links_are_refused(flag: str) -> None:
    with pytest.raises(UsageError, match=f"--{flag} replaces a figure of the one link"):
        read_links(("wifi", "wifi"), TIERS, **{flag: "5 Mbit/s"})


@pytest.mark.parametrize("name", ["", " edge", "a->b", "a\nb"])
def test_names_that_can_not_be_told_apart_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a tier"):
        read_chain({name: "local", "cloud": "local"})


def test_one_tier_makes_no_chain() -> None:
    with pytest.raises(UsageError, match="at least two"):
        read_chain({"phone": "local"})


def test_a_missing_profile_of_a_tier_is_named() -> None:
    with pytest.raises(UsageError, match=r"--tier edge=edge\.json: there is no such profile"):
        read_chain({"phone": "local", "edge": "edge.json"})


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"device": "local:0.5"}, "--device and --server"),
        ({"costs": "c.csv"}, "--costs"),
        ({"device_scale": "d.csv"}, "--device-scale"),
        ({"server_scale": "d.csv"}, "--server-scale"),
    ],
)
def test_what_speaks_of_device_and_server_is_refused_beside_a_chain(
    options: dict[str, Any], flag: str
) -> None:
    pair: dict[str, Any] = {"device": "local:0.05", "server": "local"}
    surroundings = Surroundings(
        **{**pair, **options},
        links=("wifi",),
        tiers={"phone": "local", "cloud": "local"},
    )
    with pytest.raises(UsageError, match=f"so {flag} can't be given"):
        surroundings.read_tiers()


def test_pins_reach_every_tier_and_the_ends_by_their_place() -> None:
    constraints = Constraints(pin_device=("a",), pin_server=("d",), pins=(("edge", "[bc]"),))
    assert resolve_pins(LINE, constraints, TIERS) == {
        "a": "phone",
        "b": "edge",
        "c": "edge",
        "d": "cloud",
    }


@pytest.mark.parametrize(
    ("pins", "told"),
    [
        ((("edge", "a"), ("cloud", "op:*")), "'a' is pinned to the edge by 'a' and to the cloud"),
        ((("cloud", "a"), ("edge", "c")), "'c' is pinned to the edge and needs 'a'.*the cloud"),
    ],
)
def test_pins_that_clash_are_named(pins: tuple[tuple[str, str], ...], told: str) -> None:
    with pytest.raises(InfeasiblePlacementError, match=told):
        resolve_pins(LINE, Constraints(pins=pins), TIERS)


@pytest.mark.parametrize(
    ("pin", "told"),
    [
        (("hub", "a"), "--pin hub=a: there is no tier 'hub'; the tiers are phone, edge, cloud"),
        (("edge", "z"), "--pin edge=z: no operator matches"),
    ],
)
def test_pins_to_nothing_are_refused(pin: tuple[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        resolve_pins(LINE, Constraints(pins=(pin,)), TIERS)


def test_a_kernel_that_spans_pins_is_named_as_the_reason() -> None:
    groups = (("a",), ("b", "c"), ("d",))
    profile = Profile(
        tier="edge", groups=tuple(OperatorGroup(operators=names, seconds=1.0) for names in groups)
    )
    demands = Demands(
        graph=LINE,
        coarse=coarsen(LINE, {"edge": profile}),
        pins={"b": "edge", "c": "cloud"},
        stuck=frozenset(),
        tiers=TIERS,
    )
    assert explain_conflict(demands) == (
        "'c' is pinned to the cloud but has to run on the edge or before it: it has to share a"
        " tier with 'b', and 'b' is pinned to the edge; change the pins."
    )


def test_one_cut_does_not_place_three_tiers() -> None:
    with pytest.raises(UsageError, match=r"3 tiers need 2; place operators with --pin"):
        place_cut(LINE, ("a:0",), TIERS)
    assert place_cut(LINE, ("a:0",), ("phone", "cloud")).operators("phone") == ("a",)


def test_files_are_named_after_tiers_whatever_these_are_called() -> None:
    stems = name_files(["edge/1", "EDGE_1", "..", "-x", "\u00e4\u00f6", "a" * 300, "con fig"])
    assert len({stem.lower() for stem in stems.values()}) == len(stems)
    for stem in stems.values():
        assert stem.isascii()
        assert stem[0] not in ".-"
        assert len(stem) < 120
        assert not {"/", "\\", " ", ":"} & set(stem)
