"""What plans say of chains, of data that lives elsewhere, and of mixes."""

import io
from dataclasses import replace

from onnxsplit.placement import DataHomes, StateHome
from onnxsplit.planned import Plan
from onnxsplit.prediction import MixShare
from onnxsplit.reporting.plan_report import describe_plan
from onnxsplit.reporting.text import render_text
from tests.contract.workshop import fit
from tests.made_results import make_measured, make_plan, make_prediction


def show(plan: Plan) -> str:
    return render_text(describe_plan(plan), stream=io.StringIO())


def test_candidates_of_a_longer_chain_are_shown_whole() -> None:
    candidate = make_measured()[0]
    tiers = ("phone", "an edge with a long name", "cloud")
    stages = tuple(replace(candidate.stages[0], tier=tier) for tier in tiers)
    text = show(replace(make_plan(), measured=(replace(candidate, stages=stages),)))
    table = text[text.index("Candidates, predicted") :]
    for tier in tiers:
        line = next(line for line in table.splitlines() if tier in line)
        assert line.rstrip().endswith("s"), f"{line!r} is cut short"


def test_a_plan_says_where_data_lives() -> None:
    state = StateHome(past="past_0", present="present_0", tier="server", size_bytes=2000)
    homes = DataHomes(inputs={"mask": "server"}, outputs={"scores": "server"}, states=(state,))
    plan = replace(make_plan(), data=homes)
    text = show(plan)
    assert "The input 'mask' lives on the server." in text
    assert "The output 'scores' is wanted on the server." in text
    assert "The server keeps 1 state: 2 kB after this run." in text
    fit(plan.to_json())
    assert plan.to_json()["data"]["states"][0]["bytes"] == 2000


def test_the_bytes_of_a_state_are_unknown_if_one_of_them_is() -> None:
    known = StateHome(past="a", present="b", tier="server", size_bytes=5)
    homes = DataHomes(states=(known, replace(known, past="c", present="d", size_bytes=None)))
    assert homes.sum_state_bytes("server") is None
    assert homes.sum_state_bytes("device") == 0
    fit(replace(make_plan(), data=homes).to_json())


def test_a_plan_for_a_mix_says_what_each_shape_costs() -> None:
    shares = tuple(
        MixShare(
            dims={"seq": size},
            weight=weight,
            prediction=make_prediction(),
            crossing_bytes=size * 10,
            download_bytes=size,
        )
        for size, weight in ((128, 1.0), (1, 64.0))
    )
    plan = replace(make_plan(), mix=shares)
    text = " ".join(show(plan).split())
    assert "1 at seq=128 and 64 at seq=1" in text
    assert "One run at each shape" in text
    fit(plan.to_json())
    assert [share["weight"] for share in plan.to_json()["mix"]] == [1.0, 64.0]


def test_a_plan_of_one_shape_with_all_data_on_the_device_says_nothing_of_either() -> None:
    document = make_plan().to_json()
    assert "mix" not in document
    assert "data" not in document
