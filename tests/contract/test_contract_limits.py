"""Limits on placements, seen from outside."""

from pathlib import Path

from tests.contract.workshop import Command, Workshop


def test_energy_is_told_beside_seconds_and_may_be_what_is_minimised(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    watts = ["--device-watts", "3.5", "--transmit-watts", "1.2", "--server-watts", "40"]
    arguments = ["plan", workshop.model, *workshop.cut_options(), *watts, "--format", "json"]
    fast = command(*arguments, folder=tmp_path).document()
    thrifty = command(*arguments, "--objective", "energy", folder=tmp_path).document()
    assert (fast["objective"], thrifty["objective"]) == ("latency", "energy")
    assert thrifty["predicted"]["total_joules"] <= fast["predicted"]["total_joules"]
    assert thrifty["predicted"]["total_seconds"] >= fast["predicted"]["total_seconds"]
    assert thrifty["baseline_joules"].keys() == thrifty["baselines"].keys()
    assert any("3.5 W computing" in text for text in thrifty["assumptions"])


def test_a_memory_limit_moves_the_cut_and_the_plan_says_how_it_was_proved(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    arguments = ["cut", workshop.model, *workshop.cut_options(), "--format", "json", "--force"]
    free = command(*arguments, "-o", "free", folder=tmp_path).document()
    need = {stage["tier"]: stage["peak_bytes"] for stage in free["stages"]}
    limit = f"{need['server'] - 1}B"
    made = command(*arguments, "-o", "tight", "--server-memory", limit, folder=tmp_path)
    tight = made.document()
    held = {stage["tier"]: stage["peak_bytes"] for stage in tight["stages"]}
    assert held["server"] < need["server"]
    proof = tight["plan"]["certificate"]
    assert (proof["method"], proof["gap_seconds"]) == ("branch and bound", 0)
    assert tight["plan"]["predicted"]["total_seconds"] >= free["plan"]["predicted"]["total_seconds"]


def test_limits_that_nothing_meets_exit_with_one_and_name_the_fewest_flags(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        *("plan", workshop.model, *workshop.cut_options(), "--private-depth", "1"),
        *("--device-memory", "1kB", "--server-memory", "1kB", "--max-latency", "1000s"),
        folder=tmp_path,
    )
    assert finished.code == 1
    assert (
        finished.err.splitlines()[-1]
        == ("error: No placement meets --device-memory 1kB; drop or loosen it.")
        or "--device-memory 1kB and --server-memory 1kB together" in finished.err
    )
    assert "--max-latency" not in finished.err


def test_a_given_cut_that_breaks_a_limit_is_refused_by_its_flag(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    finished = command(
        *("plan", workshop.model, *workshop.cut_options(), "--cut-at", "r1"),
        *("--ban-tensor", "r?"),
        folder=tmp_path,
    )
    assert finished.code == 1
    assert "breaks --ban-tensor 'r?': 'r1' crosses from device to server" in finished.err


def test_what_the_device_can_t_run_is_named_and_runs_on_the_server(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    supported = tmp_path / "ops.txt"
    supported.write_text("# of a small runtime\nConv\nRelu\nMaxPool\n", encoding="utf-8")
    arguments = ["plan", workshop.model, *workshop.cut_options(), "--device-ops", supported]
    document = command(*arguments, "--format", "json", folder=tmp_path).document()
    assert {"pool2", "flatten", "classify"} <= set(document["placement"]["server"])
    assert any("'pool2' (GlobalAveragePool)" in note for note in document["notes"])


def test_limits_may_stand_in_the_configuration_file(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    settings = "private-depth = 3\ndevice-watts = 2\nban-dtype = ['int64']\n"
    (tmp_path / "onnxsplit.toml").write_text(settings, encoding="utf-8")
    arguments = ["plan", workshop.model, *workshop.cut_options(), "--format", "json"]
    document = command(*arguments, folder=tmp_path).document()
    assert {"conv1", "relu1", "pool1"} <= set(document["placement"]["device"])
    assert "total_joules" in document["predicted"]
