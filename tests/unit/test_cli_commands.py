import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from onnxsplit import workflows
from onnxsplit.cli.application import application, run
from onnxsplit.errors import (
    InfeasiblePlacementError,
    InternalError,
    LinkTimeoutError,
    OutputError,
    UnsupportedModelError,
)
from onnxsplit.objectives import Throughput, TrainingDelay
from onnxsplit.progress import Progress
from tests.made_results import (
    FOLDER,
    make_manifest,
    make_parity,
    make_plan,
    make_profile,
    make_timings,
)

Install = Callable[..., dict[str, Any]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Replace one workflow by a function that keeps its arguments and gives or raises a result."""
    for variable in [name for name in os.environ if name.startswith("ONNXSPLIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)

    def replace(module: str, function: str, result: object) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def work(*arguments: object, progress: Progress, **named: object) -> object:
            seen.update(named, arguments=arguments)
            progress.report("working", done=1, total=2)
            print("a library talks")  # noqa: T201 - what libraries do
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(workflows, module, SimpleNamespace(**{function: work}), raising=False)
        return seen

    return replace


def make_bundle(*, passed: bool | None = True) -> SimpleNamespace:
    plan = make_plan()
    parity = None if passed is None else make_parity(passed=passed)
    return SimpleNamespace(
        folder=FOLDER, manifest=make_manifest(plan, parity), plan=plan, parity=parity
    )


def run_line(line: str) -> int:
    return run(line.split())


def test_cut_hands_its_defaults_on(install: Install) -> None:
    seen = install("cutting", "cut", make_bundle())
    assert run(["cut", "m.onnx"]) == 0
    assert seen == {
        "arguments": (Path("m.onnx"), None),
        "training": None,
        "device": "local:0.05",
        "server": "local",
        "tiers": {},
        "link": "wifi",
        "uplink": None,
        "downlink": None,
        "rtt": None,
        "device_runtime": None,
        "server_runtime": None,
        "costs": None,
        "device_scale": None,
        "server_scale": None,
        "shapes": {},
        "dims": {},
        "mix": (),
        "inputs": None,
        "pin_device": (),
        "pin_server": (),
        "pins": (),
        "input_at": (),
        "output_at": (),
        "state": ("auto",),
        "cut_at": (),
        "allow_whole": False,
        "frontier": False,
        "min_share": 0.05,
        "measure": None,
        "stage_times": (),
        "device_opset": None,
        "device_precision": "fp32",
        "device_format": "onnx",
        "force": False,
        "verify": True,
        "batches": 2,
        "moving_from": None,
        "amortise": None,
        "alternatives": 3,
        "sensitivity": False,
        "explain": (),
        "threads": None,
        "provider": None,
        "cache": True,
        "boundary": None,
        "max_drift": 0.01,
        "input_bytes": {},
        "recompute": False,
        "method": "auto",
        "certify": "solved",
        "powers": {},
        "device_ops": None,
        "ban_tensor": (),
        "ban_dtype": (),
        "private_depth": 0,
        "private": (),
        "keep_together": (),
        "device_memory": None,
        "server_memory": None,
        "max_energy": None,
        "max_latency": None,
        "least_share": 0.0,
    }


def test_cut_hands_every_option_on(install: Install) -> None:
    seen = install("cutting", "cut", make_bundle())
    line = (
        "cut m.onnx -o out --device pi.json --server a10.json --link 4g --uplink 1Mbit/s"
        " --downlink 2Mbit/s --rtt 9ms --shape x=1,3 --shape y=2 --dim batch=4 --inputs f.npz"
        " --pin-device a* --pin-server op:Gemm --pin-server z --cut-at t1,t2 --cut-at t3"
        " --pin server=q --input-at prompt=server --output-at a=b=server --state past_*=present_*"
        " --mix seq=128:1 --mix seq=1,past=128:64"
        " --objective latency --allow-whole --frontier --min-share 0.1 --force --no-verify"
        " --batches 3"
        " --costs c.csv --device-scale d.csv --server-scale s.json"
        " --measure 5 --stage-times a.json --stage-times b.json"
        " --from old.split --amortise 9 --alternatives 5 --sensitivity --explain conv1"
        " --threads 2 --provider CPUExecutionProvider --no-cache"
        " --device-runtime openvino --server-runtime onnxruntime"
        " --device-opset 13 --device-precision fp16 --device-format ort"
        " --boundary int8 --max-drift 2% --input-bytes x=120kB --input-bytes y=1kB --recompute"
        " --method blockwise --certify original --device-ops ops.txt --ban-tensor h*"
        " --ban-dtype int64 --private-depth 3 --private k --keep-together l* --device-memory 64MB"
        " --server-memory 1GB --max-energy 2J --max-latency 9s --least-share 10%"
    )
    assert run_line(line) == 0
    assert seen == {
        "training": None,
        "boundary": "int8",
        "max_drift": 0.02,
        "input_bytes": {"x": "120kB", "y": "1kB"},
        "recompute": True,
        "method": "blockwise",
        "certify": "original",
        "powers": {},
        "device_ops": "ops.txt",
        "ban_tensor": ["h*"],
        "ban_dtype": ["int64"],
        "private_depth": 3,
        "private": ["k"],
        "keep_together": ["l*"],
        "device_memory": "64MB",
        "server_memory": "1GB",
        "max_energy": "2J",
        "max_latency": "9s",
        "least_share": 0.1,
        "arguments": (Path("m.onnx"), Path("out")),
        "device": "pi.json",
        "server": "a10.json",
        "tiers": {},
        "link": "4g",
        "uplink": "1Mbit/s",
        "downlink": "2Mbit/s",
        "rtt": "9ms",
        "device_runtime": "openvino",
        "server_runtime": "onnxruntime",
        "costs": Path("c.csv"),
        "device_scale": Path("d.csv"),
        "server_scale": Path("s.json"),
        "shapes": {"x": (1, 3), "y": (2,)},
        "dims": {"batch": 4},
        "mix": (({"seq": 128}, 1.0), ({"seq": 1, "past": 128}, 64.0)),
        "inputs": Path("f.npz"),
        "pin_device": ["a*"],
        "pin_server": ["op:Gemm", "z"],
        "pins": (("server", "q"),),
        "input_at": (("prompt", "server"),),
        "output_at": (("a=b", "server"),),
        "state": ("past_*=present_*",),
        "cut_at": ("t1", "t2", "t3"),
        "allow_whole": True,
        "frontier": True,
        "min_share": 0.1,
        "measure": 5,
        "stage_times": [Path("a.json"), Path("b.json")],
        "device_opset": 13,
        "device_precision": "fp16",
        "device_format": "ort",
        "force": True,
        "verify": False,
        "batches": 3,
        "moving_from": Path("old.split"),
        "amortise": 9,
        "alternatives": 5,
        "sensitivity": True,
        "explain": ["conv1"],
        "threads": 2,
        "provider": "CPUExecutionProvider",
        "cache": False,
    }


def test_training_options_become_one_objective(install: Install) -> None:
    seen = install("planning", "plan", make_plan())
    line = (
        "plan m.onnx --objective training --iterations 5 --labels device --label-bytes 256B"
        " --freeze conv1* --freeze op:Gemm"
    )
    assert run_line(line) == 0
    assert seen["objective"] == TrainingDelay(
        iterations=5, labels_at="device", label_bytes=256, frozen=("conv1*", "op:Gemm")
    )
    assert run_line("plan m.onnx --objective throughput") == 0
    assert seen["objective"] == Throughput()
    assert run_line("plan m.onnx --objective training") == 0
    assert seen["objective"] == TrainingDelay(iterations=1, labels_at="server", label_bytes=None)


def test_the_other_commands_hand_their_options_on(install: Install, tmp_path: Path) -> None:
    seen = install("planning", "plan", make_plan())
    assert run_line("plan m.onnx --placement p.json --require-split --rtt 1ms") == 0
    assert seen["placement"] == Path("p.json")
    assert seen["require_split"] is True
    seen = install("profiling", "profile", make_profile())
    assert (
        run_line("profile m.onnx -o p.json --tier edge --budget 3s --no-cache --memory 64MB") == 0
    )
    assert seen["memory"] == "64MB"
    assert seen["arguments"] == (Path("m.onnx"), Path("p.json"))
    assert (seen["tier"], seen["budget"], seen["cache"]) == ("edge", "3s", False)
    assert run_line("profile m.onnx --idle-gap 200ms --provider P --provider-option a=1") == 0
    assert (seen["idle_gap"], seen["provider"]) == ("200ms", "P")
    assert seen["provider_options"] == {"a": "1"}
    assert run_line("profile m.onnx --runtime openvino") == 0
    assert seen["runtime"] == "openvino"
    assert run_line("profile m.onnx --trace t.json --optimized o.onnx") == 0
    assert (seen["trace"], seen["optimized"]) == (Path("t.json"), Path("o.onnx"))
    seen = install("stage_times", "time_stages", make_timings())
    assert run_line("profile --stages d -o t.json --tier server --budget 1s --threads 2") == 0
    assert seen["arguments"] == (Path("d"), Path("t.json"))
    assert (seen["tier"], seen["budget"], seen["threads"]) == ("server", "1s", 2)
    seen = install("verification", "verify", make_parity())
    assert run_line("verify d --model m.onnx --seed 7 --batches 5 --inputs i.npz") == 0
    assert seen["arguments"] == (Path("d"),)
    assert (seen["model"], seen["seed"], seen["batches"]) == (Path("m.onnx"), 7, 5)
    assert run_line("verify d --device-runtime openvino") == 0
    assert (seen["device_runtime"], seen["server_runtime"]) == ("openvino", None)
    merged = tmp_path / "whole.onnx"
    merged.write_bytes(b"whole")
    seen = install("merging", "merge", merged)
    assert run(["merge", "d", "-o", str(merged), "--force"]) == 0
    assert seen == {"arguments": (Path("d"), merged), "force": True}


def test_the_result_alone_is_on_stdout(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("planning", "plan", make_plan())
    assert run(["plan", "m.onnx"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Split: the device runs 2 operators")
    assert "library" not in out
    assert err == "working ...\na library talks\n"


def test_quiet_and_json_show_no_progress(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("planning", "plan", make_plan())
    for options_ in (["-q"], ["--format", "json"]):
        assert run(["plan", "m.onnx", *options_]) == 0
        out, err = capsys.readouterr()
        assert "working" not in out + err


def test_cut_prints_the_manifest_with_folder_and_parity_as_json(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle()
    install("cutting", "cut", bundle)
    assert run(["cut", "m.onnx", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "onnxsplit.bundle/1"
    assert document["directory"] == "squeezenet.split"
    assert document["parity"] == bundle.parity.to_json()
    assert document["plan"] == bundle.plan.to_json()


def test_timings_stand_in_the_plan_only_where_asked_for(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("planning", "plan", make_plan())
    assert run(["plan", "m.onnx", "--format", "json"]) == 0
    assert "timings" not in json.loads(capsys.readouterr().out)
    assert run(["plan", "m.onnx", "--format", "json", "--timings"]) == 0
    assert json.loads(capsys.readouterr().out)["timings"] == {
        "vertices": 134,
        "arcs": 402,
        "solves": 67,
        "solver_seconds": 0.0123,
    }


def test_merge_prints_the_file_and_its_hash(
    install: Install, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    merged = tmp_path / "whole.onnx"
    merged.write_bytes(b"whole")
    install("merging", "merge", merged)
    assert run(["merge", "d", "-o", "x.onnx", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "onnxsplit.merge/1",
        "file": str(merged),
        "sha256": hashlib.sha256(b"whole").hexdigest(),
    }


@pytest.mark.parametrize("command", [["cut", "m.onnx"], ["verify", "d"]])
def test_failed_parity_is_shown_and_exits_with_one(
    install: Install, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    install("cutting", "cut", make_bundle(passed=False))
    install("verification", "verify", make_parity(passed=False))
    assert run([*command, "--format", "markdown"]) == 1
    assert "Parity failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "exit_code", "kind"),
    [
        (InfeasiblePlacementError("No."), 1, "InfeasiblePlacementError"),
        (UnsupportedModelError("No."), 2, "UnsupportedModelError"),
        (OutputError("Full."), 2, "OutputError"),
        (LinkTimeoutError("Late."), 3, "LinkTimeoutError"),
        (InternalError("Odd"), 70, "InternalError"),
        (ZeroDivisionError("Odd"), 70, "ZeroDivisionError"),
        (PermissionError(13, "Permission denied", "out"), 2, "PermissionError"),
        (MemoryError(), 2, "MemoryError"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    install: Install,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    exit_code: int,
    kind: str,
) -> None:
    install("planning", "plan", error)
    assert run(["plan", "m.onnx", "-q"]) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    assert run(["plan", "m.onnx", "--format", "json"]) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    document = json.loads(err.splitlines()[-1])
    assert document["schema"] == "onnxsplit.error/1"
    assert document["error"]["exit_code"] == exit_code
    assert document["error"]["type"] == kind


def test_a_bug_shows_its_traceback_only_when_asked(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("planning", "plan", KeyError("lost"))
    assert run(["plan", "m.onnx"]) == 70
    plain = capsys.readouterr().err
    assert "bug in onnxsplit" in plain
    assert "KeyError: 'lost'" in plain
    assert "Traceback" not in plain
    assert run(["plan", "m.onnx", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("ONNXSPLIT_DEBUG", "1")
    assert run(["plan", "m.onnx"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", ""),
        ("plan", "Missing argument 'MODEL'"),
        ("pln m.onnx", "No such command 'pln'"),
        ("plan m.onnx --devise x", "--devise"),
        ("plan m.onnx --threads four", "'four'"),
        ("plan m.onnx --format xml", "'xml'"),
        ("plan m.onnx --objective joy", "'joy'"),
        ("plan m.onnx --iterations 3", "--iterations goes with --objective training"),
        ("plan m.onnx --freeze a", "--freeze goes with --objective training"),
        ("plan m.onnx --objective training --iterations 0", "0 is too small"),
        ("plan m.onnx --from old.split --amortise 0", "0 is too small"),
        ("plan m.onnx --objective training --label-bytes 256", "no unit"),
        ("plan m.onnx extra", "extra"),
        ("plan m.onnx --shape x", "'x'"),
        ("merge d", "--output"),
        ("cut m.onnx --min-share lots", "'lots'"),
    ],
)
def test_usage_errors_exit_with_two_and_name_the_fault(
    install: Install, capsys: pytest.CaptureFixture[str], line: str, fault: str
) -> None:
    install("planning", "plan", make_plan())
    install("cutting", "cut", make_bundle())
    assert run_line(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert fault in err


@pytest.mark.parametrize("flag", [["--format", "json"], ["--format=json"]])
def test_usage_errors_are_json_too(capsys: pytest.CaptureFixture[str], flag: list[str]) -> None:
    assert run(["plan", "m.onnx", "--devise", "x", *flag]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["type"] == "UsageError"
    assert "--devise" in error["message"]


def test_the_format_of_errors_follows_the_configuration(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("planning", "plan", UnsupportedModelError("No."))
    Path("onnxsplit.toml").write_text("format = 'json'\n", encoding="utf-8")
    assert run(["plan", "m.onnx"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert json.loads(last)["error"]["message"] == "No."


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("onnxsplit ")


@pytest.mark.parametrize("command", ["cut", "profile", "plan", "verify", "inspect", "merge"])
def test_every_command_has_help_and_the_shared_options(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("--format", "--quiet", "--config", "--debug"):
        assert flag in text


def test_an_option_means_the_same_in_every_command() -> None:
    group: Any = typer.main.get_command(application)
    meanings: dict[str, set[str]] = {}
    for command in group.commands.values():
        for parameter in command.params:
            for flag in parameter.opts:
                meanings.setdefault(flag, set()).add(f"{parameter.name}: {parameter.help}")
    several = {flag for flag, texts in meanings.items() if len(texts) > 1}
    # What is written differs between commands, and so do a tier (its name, or what it is), a server
    # (what it is, or where) and training (measured, or held).
    assert several == {"--output", "-o", "--tier", "--server", "--training"}


def test_commands_import_no_workflow_before_they_run() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("onnxsplit.cli.commands."):
            source = inspect.getsource(module)
            header = source.partition("\ndef ")[0]
            assert "workflows" not in header, name
