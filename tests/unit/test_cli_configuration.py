import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from onnxsplit import workflows
from onnxsplit.cli.application import application, run
from onnxsplit.cli.configuration_file import find_table
from onnxsplit.cli.settings import FLAG_ONLY, INTEGERS, NAMED_VALUES, NUMBERS, settings_of
from onnxsplit.errors import UsageError
from tests.made_results import make_plan


class Recorder:
    """Stands for a workflow and keeps what it was called with."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def plan(self, model: Path, **options: Any) -> Any:  # noqa: ANN401 - whatever the command passes
        self.options = {"model": model, **options}
        return make_plan()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(workflows, "planning", SimpleNamespace(plan=made.plan), raising=False)
    for variable in [name for name in os.environ if name.startswith("ONNXSPLIT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return made


def write_project(text: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "wifi"
    write_project("[tool.onnxsplit]\nlink = '3g'\n")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "3g"
    monkeypatch.setenv("ONNXSPLIT_LINK", "4g")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "4g"
    assert run(["plan", "m.onnx", "--link", "5g"]) == 0
    assert recorder.options["link"] == "5g"


def test_every_kind_of_value_comes_from_a_file(recorder: Recorder) -> None:
    write_project(
        "[tool.onnxsplit]\n"
        "device = 'pi4.json'\n"
        "threads = 2\n"
        "no-cache = true\n"
        "pin_device = ['op:Conv', 'head*']\n"
        "cut-at = 'a,b'\n"
        "shape = {x = [1, 3, 8, 8], 'y:0' = [4]}\n"
        "dim = ['batch=2']\n"
        "min-share = 0.1\n"
        "[tool.onnxsplit.plan]\n"
        "require-split = true\n"
    )
    assert run(["plan", "m.onnx"]) == 0
    expected = {
        "device": "pi4.json",
        "threads": 2,
        "cache": False,
        "pin_device": ["op:Conv", "head*"],
        "cut_at": ("a", "b"),
        "shapes": {"x": (1, 3, 8, 8), "y:0": (4,)},
        "dims": {"batch": 2},
        "require_split": True,
    }
    assert {key: recorder.options[key] for key in expected} == expected


def test_every_kind_of_value_comes_from_the_environment(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXSPLIT_THREADS", "3")
    monkeypatch.setenv("ONNXSPLIT_REQUIRE_SPLIT", "yes")
    monkeypatch.setenv("ONNXSPLIT_NO_CACHE", "0")
    monkeypatch.setenv("ONNXSPLIT_SHAPE", "x=1,3  mask=8")
    monkeypatch.setenv("ONNXSPLIT_UPLINK", "")
    assert run(["plan", "m.onnx"]) == 0
    expected = {
        "threads": 3,
        "require_split": True,
        "cache": True,
        "shapes": {"x": (1, 3), "mask": (8,)},
        "uplink": None,
    }
    assert {key: recorder.options[key] for key in expected} == expected


def test_a_command_s_own_table_wins_over_the_top(recorder: Recorder) -> None:
    write_project("[tool.onnxsplit]\nlink = '3g'\n[tool.onnxsplit.plan]\nlink = '4g'\n")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "4g"


def test_a_table_of_another_command_and_options_it_lacks_are_left_alone(recorder: Recorder) -> None:
    write_project("[tool.onnxsplit]\nforce = true\n[tool.onnxsplit.cut]\nlink = '4g'\n")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "wifi"


def test_the_own_file_wins_over_the_project_s(recorder: Recorder) -> None:
    write_project("[tool.onnxsplit]\nlink = '3g'\n")
    Path("onnxsplit.toml").write_text("link = '4g'\n", encoding="utf-8")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "4g"


def test_a_chosen_file_wins_over_both(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("onnxsplit.toml").write_text("link = '4g'\n", encoding="utf-8")
    Path("other.toml").write_text("[tool.onnxsplit]\nlink = '5g'\n", encoding="utf-8")
    assert run(["plan", "m.onnx", "--config", "other.toml"]) == 0
    assert recorder.options["link"] == "5g"
    monkeypatch.setenv("ONNXSPLIT_CONFIG", "other.toml")
    assert run(["plan", "m.onnx"]) == 0
    assert recorder.options["link"] == "5g"


def test_a_project_file_that_says_nothing_about_us_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert find_table(tmp_path, None) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("devise = 'x'", ["pyproject.toml", "'devise'", "did you mean device"]),
        ("[tool.onnxsplit.plan]\nforce = true", ["[plan]", "'force'"]),
        ("[tool.onnxsplit.pln]\nlink = '4g'", ["'pln'", "plan"]),
        ("version = true", ["'version'", "unknown"]),
        ("debug = true", ["'debug'", "unknown"]),
        ("threads = 'four'", ["threads", "a whole number", "'four'"]),
        ("threads = true", ["threads", "a whole number", "True"]),
        ("no-cache = 'yes'", ["no-cache", "true or false"]),
        ("device = 3", ["device", "a string", "3"]),
        ("device = ['a']", ["device", "a string"]),
        ("pin-device = [1]", ["pin-device", "a list of strings"]),
        ("plan = 3", ["'plan'", "table"]),
        ("shape = {x = 'big'}", ["x=big", "--shape x=1,3,224,224"]),
        ("threads = 0", ["--threads", "least is 1", "pyproject.toml"]),
        ("format = 'xml'", ["--format", "'xml'", "pyproject.toml"]),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], text: str, wanted: list[str]
) -> None:
    write_project(f"[tool.onnxsplit]\n{text}\n")
    assert run(["plan", "m.onnx"]) == 2
    message = complaint(capsys)
    assert [word for word in wanted if word not in message] == [], message
    assert recorder.options == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"link = ", "no valid TOML"), (b"link = '\xff'", "no valid TOML"), (None, "can't be read")],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=fault) as caught:
        find_table(tmp_path, path)
    assert "settings.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"), [("ONNXSPLIT_THREADS", "four"), ("ONNXSPLIT_NO_CACHE", "maybe")]
)
def test_a_wrong_variable_is_refused_by_name(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert run(["plan", "m.onnx"]) == 2
    message = complaint(capsys)
    assert variable in message
    assert repr(value) in message
    assert recorder.options == {}


def test_a_broken_file_does_not_keep_help_away(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project("[tool.onnxsplit]\nnonsense = 1\n")
    assert run(["plan", "--help"]) == 0
    assert "--device" in capsys.readouterr().out
    assert recorder.options == {}


def test_special_kinds_are_options_that_exist() -> None:
    group: Any = typer.main.get_command(application)
    known = {key for command in group.commands.values() for key in settings_of(command)}
    assert known >= INTEGERS | NUMBERS | NAMED_VALUES
    assert not known & FLAG_ONLY
    assert not known & set(group.commands), "a key and a command's table would clash"
