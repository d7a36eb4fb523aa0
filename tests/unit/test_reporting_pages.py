import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsplit.errors import InternalError
from onnxsplit.evidence import ParityResult
from onnxsplit.graph import TensorSpec
from onnxsplit.placement import Placement
from onnxsplit.prediction import Certificate
from onnxsplit.reporting.bundle_report import BundleReport
from onnxsplit.reporting.markdown import render_markdown
from onnxsplit.reporting.page import Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.parity_report import describe_parity, summarise_parity
from onnxsplit.reporting.plan_report import describe_plan, word_certificate
from onnxsplit.reporting.profile_report import describe_profile
from onnxsplit.reporting.stages_report import describe_timings
from tests.made_results import (
    FOLDER,
    make_crossing,
    make_explanations,
    make_manifest,
    make_measured,
    make_parity,
    make_plan,
    make_profile,
    make_sensitivity,
    make_timings,
)


def make_report(*, parity: ParityResult | None) -> BundleReport:
    plan = make_plan(notes=("Not splitting is faster: all-server takes 65.3 ms.",))
    return BundleReport(
        folder=FOLDER, manifest=make_manifest(plan, parity), plan=plan, parity=parity
    )


def texts(page: Page) -> Iterator[str]:
    for block in page:
        match block:
            case Sentence():
                yield block.text
            case Bullets():
                yield from (block.title, *block.items)
            case Table():
                yield block.title
                for row in (*block.rows, *([] if block.total is None else [block.total])):
                    yield " | ".join(row)


def find_table(page: Page, title: str) -> Table:
    return next(block for block in page if isinstance(block, Table) and title in block.title)


def test_a_table_with_a_ragged_row_is_refused() -> None:
    columns = (Column(title="a"), Column(title="b"))
    with pytest.raises(InternalError, match="1 cells for 2 columns"):
        Table(title="t", columns=columns, rows=(("1",),))
    with pytest.raises(InternalError, match="3 cells for 2 columns"):
        Table(title="t", columns=columns, rows=(), total=("1", "2", "3"))


def test_a_plan_s_notes_come_first_and_stand_out() -> None:
    first = describe_plan(make_plan(notes=("This split moves only 2 %.",)))[0]
    assert first == Sentence(text="This split moves only 2 %.", tone="warning")


def test_a_plan_says_who_runs_what_and_how_it_compares() -> None:
    said = list(texts(describe_plan(make_plan())))
    assert (
        "Split: the device runs 2 operators, up to 'op_1'; the server runs 4, from 'op_2' on."
        in said
    )
    assert (
        "Predicted latency 170 ms: 1.44x faster than all-device, 2.6x slower than all-server."
        in said
    )
    assert "fire3/concat_1 | device -> server | float32 | [1, 128, 55, 55] | 1.55 MB" in said
    assert "softmaxout_1 | server -> device | float32 | [1, 1000, 1, 1] | 4 kB" in said
    assert "download to device | 320 us | 0.2 % | assumed" in said
    assert "total | 170 ms |  | " in said
    assert "all-server |  |  | 65.3 ms | 2.6x faster" in said
    assert "next cut | pool5 | 346 kB | 170 ms | as fast" in said
    assert any("minimum cut = maximum flow = 169520000 ticks" in text for text in said)
    assert any("134 vertices and 402 arcs" in text for text in said)
    assert any("taken to be 0.05 times as fast" in text for text in said)


def test_the_parts_of_the_page_add_up_to_its_total() -> None:
    table = find_table(describe_plan(make_plan()), "Predicted latency")
    shares = [float(row[2].removesuffix(" %")) for row in table.rows]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_a_plan_that_does_not_split_says_so() -> None:
    plan = make_plan(crossings=())
    whole = dataclasses.replace(
        plan,
        placement=Placement.of_groups({"device": ["a", "b"], "server": []}),
        downloads=(),
        verdict="all-device",
    )
    said = list(texts(describe_plan(whole)))
    assert "Not split: the device runs everything (2 operators)." in said
    assert not any(text.startswith("all-device |") for text in said)


def word_proof(*, objective: str = "latency", gap_seconds: float) -> str:
    certificate = Certificate(
        cut_ticks=1500,
        flow_ticks=1500 - round(gap_seconds / 1e-6),
        tick_seconds=1e-6,
        rounding_bound_seconds=1e-9,
        restriction="placements within budgets",
        method="branch and bound",
        gap_seconds=gap_seconds,
    )
    plan = dataclasses.replace(make_plan(), objective=objective, certificate=certificate)
    return word_certificate(plan)


def test_a_price_that_is_not_the_best_is_not_called_proven() -> None:
    assert word_proof(gap_seconds=0.0005) == (
        "At most 500 us above the best of placements within budgets, by branch and bound."
    )


def test_branch_and_bound_is_not_called_a_minimum_cut() -> None:
    assert word_proof(objective="energy", gap_seconds=0.0) == (
        "Best of placements within budgets, by branch and bound (tolerance: 1 nJ at most)."
    )


def test_energy_is_told_beside_the_time_for_the_plan_and_what_it_is_compared_with() -> None:
    plan = make_plan()
    drawn = dataclasses.replace(
        plan,
        predicted=dataclasses.replace(plan.predicted, total_joules=0.25),
        baseline_joules=dict.fromkeys(plan.baselines, 0.5),
    )
    said = list(texts(describe_plan(drawn)))
    assert any("Predicted energy 250 mJ (500 mJ for" in text for text in said)
    assert any(text.endswith("| 500 mJ") for text in said)


def test_a_bundle_s_page_tells_the_proof_the_files_and_the_assumptions() -> None:
    page = make_report(parity=make_parity()).page()
    said = list(texts(page))
    assert said[0].startswith("Not splitting is faster")
    assert any(text.startswith("Parity: the stages equal the whole model") for text in said)
    assert "Wrote squeezenet.split" in said
    assert "device.onnx | device | 2 | 220 kB | 2.5 MB | data_0 | fire3/concat_1" in said
    assert "server.onnx | server | 4 | 4.7 MB | ? | fire3/concat_1 | softmaxout_1" in said
    assert "split.json |  |  |  |  |  | " in said
    assert "One dead operator was dropped." in said
    assert "Assumptions" in said


def test_a_bundle_without_parity_says_that_nobody_looked() -> None:
    report = make_report(parity=None)
    assert Sentence(text="Parity was not checked.", tone="warning") in report.page()
    assert report.document()["parity"] is None


def test_failed_parity_names_the_outputs_and_why() -> None:
    result = make_parity(passed=False)
    page = describe_parity(result)
    assert isinstance(page[0], Sentence)
    assert page[0].tone == "bad"
    assert "Parity failed for 1 of 1 output: 'softmaxout_1'" in page[0].text
    assert any("the largest difference is 0.4" in text for text in texts(page))
    assert any(
        "the largest difference is 0.4" in text for text in texts(make_report(parity=result).page())
    )


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, "bit for bit with optimisations off, and within 5.9e-07"),
        ({"max_relative": 0.0}, "and exactly with them on"),
        ({"bit_equal": False}, "not bit for bit"),
        ({"comparison": "shapes"}, "random operators"),
    ],
)
def test_parity_says_how_equal_the_stages_are(change: dict[str, object], wanted: str) -> None:
    result = make_parity()
    output = dataclasses.replace(result.outputs[0], **change)  # type: ignore[arg-type]  # by name
    sentence = summarise_parity(dataclasses.replace(result, outputs=(output,)))
    assert sentence.tone == "good"
    assert wanted in sentence.text


def test_random_outputs_do_not_hide_that_the_others_are_bit_equal() -> None:
    output = dataclasses.replace(make_parity().outputs[0], max_relative=0.0)
    random = dataclasses.replace(output, output="noise", comparison="shapes", bit_equal=False)
    sentence = summarise_parity(dataclasses.replace(make_parity(), outputs=(random, output)))
    assert "bit for bit with optimisations off, and exactly" in sentence.text


def test_a_stage_with_many_inputs_names_the_first_few() -> None:
    report = make_report(parity=None)
    stage = report.manifest.stages[0]
    inputs = tuple(TensorSpec(name=f"past.{i}", dtype="float32", shape=(1,)) for i in range(24))
    stages = (dataclasses.replace(stage, inputs=inputs), *report.manifest.stages[1:])
    crowded = dataclasses.replace(
        report, manifest=dataclasses.replace(report.manifest, stages=stages)
    )
    row = find_table(crowded.page(), "Wrote").rows[0]
    assert row[5] == "past.0, past.1, past.2 and 21 more"


def test_the_comparison_shortens_long_names_and_the_list_of_crossings_does_not() -> None:
    name = "/model/encoder/layer.2/attention/output/LayerNorm/Add_output_0"
    page = describe_plan(make_plan(crossings=(make_crossing(name, (1, 64)),)))
    assert find_table(page, "Compared with").rows[0][1] == "/model/e...ut/LayerNorm/Add_output_0"
    assert find_table(page, "Tensors that travel").rows[0][0] == name


def test_a_profile_s_page_lists_the_dearest_operators_first() -> None:
    page = describe_profile(make_profile(), model=Path("some/m.onnx"), output=Path("p.json"))
    said = list(texts(page))
    assert said[0] == "1 operator did not run on CUDAExecutionProvider: 'conv1'."
    assert said[1] == "m.onnx takes 78 ms on the device (24 operators, 12 kernels)."
    assert "Wrote p.json." in said
    table = find_table(page, "Where the time goes")
    assert [row[0] for row in table.rows[:2]] == ["conv11", "conv10"]
    assert table.rows[-1] == ("all others", "4", "3 ms", "3.8 %")
    assert "runs | 41, 95 % interval within 1.8 %" in said
    assert "ran on | CUDAExecutionProvider: 2 operators" in said


def test_a_profile_s_page_tells_what_pauses_cost_and_what_was_attributed() -> None:
    idle = {"gap_seconds": 0.2, "seconds": 0.09, "back_to_back_seconds": 0.04, "runs": 15}
    profile = dataclasses.replace(
        make_profile(),
        extra={
            "attributed_share": 0.986,
            "layout_seconds": 0.002,
            "disagreement": 0.24,
            "idle": idle,
        },
    )
    said = list(texts(describe_profile(profile, model=Path("m.onnx"), output=None)))
    assert "after pauses | 90 ms after 200 ms of idling, 40 ms back to back" in said
    assert "attributed | 98.6 %" in said
    assert "sum of kernels | 24.0 % off the whole" in said
    assert "layout work | 2 ms" in said


def test_markdown_tables_have_as_many_cells_in_every_row() -> None:
    text = render_markdown(make_report(parity=make_parity()).page())
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}
        assert len(widths) == 1, table


def test_measured_candidates_stand_beside_what_was_predicted() -> None:
    plan = dataclasses.replace(make_plan(), measured=make_measured())
    said = list(texts(describe_plan(plan)))
    assert "Candidates, predicted -> measured" in said
    assert (
        "fire3/concat_1 | 36.1 ms -> 40 ms | 4.2 ms -> 4 ms | 170 ms -> 173 ms | -2.1 % | taken"
        in said
    )
    assert "pool5 | 36.1 ms -> 40 ms | 4.2 ms -> ~4 ms | 180 ms -> ~190 ms | -5.3 % | " in said, (
        "what was not measured is marked"
    )


def test_stage_times_say_what_was_timed_and_where_to_take_them() -> None:
    said = list(
        texts(describe_timings(make_timings(), folder=FOLDER, output=Path("pi.stages.json")))
    )
    assert "cut at 'fire3/concat_1'" in said[0]
    assert "the device's stage takes 40 ms and the server's stage takes 4 ms" in said[0]
    assert "device | 2 | 40 ms | 30 | -" in said
    assert "server | 4 | 4 ms | 30 | within 1.3 %" in said
    assert said[-1] == "Give it to `cut` by --stage-times pi.stages.json."


def test_a_profile_of_segments_lists_them_and_says_that_the_whole_does_not_fit() -> None:
    segment = {
        "operators": 12,
        "first": "conv0",
        "last": "relu5",
        "seconds": 0.02,
        "weight_bytes": 40_000_000,
        "resident_bytes": 90_000_000,
    }
    profile = dataclasses.replace(
        make_profile(),
        extra={"segments": [segment], "memory_limit_bytes": 10**8, "whole_peak_bytes": 3 * 10**8},
    )
    said = list(texts(describe_profile(profile, model=Path("m.onnx"), output=None)))
    assert any("needs 300 MB" in text and "100 MB that there are" in text for text in said)
    assert any(
        "12 operators from conv0 to relu5: 20 ms, 40 MB of weights, 90 MB resident" in text
        for text in said
    )


def test_a_plan_tells_how_far_figures_may_move_and_what_is_best_beyond() -> None:
    plan = dataclasses.replace(make_plan(), sensitivity=make_sensitivity())
    said = list(texts(describe_plan(plan)))
    assert "Best of all is all-server, and stays so while, all else equal," in said
    assert (
        "the uplink of device->server (now 100 Mbit/s) is at least 16 Mbit/s and at most"
        " 116 Mbit/s: below that all-device, above that all-server; staying would cost 11.8 ms at"
        " twice the figure"
    ) in said
    assert "the downlink of device->server (now unlimited) is anything" in said
    assert (
        "the speed of server (now 1x) is at least 0.5x: below that all-device; staying would cost"
        " 11.8 ms at twice the figure"
    ) in said


def test_a_plan_says_why_an_operator_is_where_it_is() -> None:
    plan = dataclasses.replace(make_plan(), explanations=make_explanations())
    said = list(texts(describe_plan(plan)))
    assert (
        "'op_1' is on the device: the best placement with it on the server costs 4.6 ms more, with"
        " 1 other operator moved along, and crosses at 'data_0' (602 kB)."
    ) in said
    assert (
        "'op_0' is on the device: it can't be on the server, because it is pinned to the device."
    ) in said
    energy = dataclasses.replace(plan, objective="energy")
    assert any("costs 0.0046 J more" in text for text in texts(describe_plan(energy)))


def test_a_plan_says_what_moving_takes() -> None:
    moving = {"runs": 10, "download_bytes": 602_000, "upload_bytes": 0, "moved": ["op_1", "op_2"]}
    plan = dataclasses.replace(make_plan(), moving=moving)
    assert (
        "Moving 2 operators sends 602 kB of weights to the device and 0 B to the server, spread"
        " over 10 runs."
    ) in list(texts(describe_plan(plan)))
    stays = dataclasses.replace(plan, moving={**moving, "download_bytes": 0, "moved": []})
    assert "Every operator stays where it was." in list(texts(describe_plan(stays)))
