"""The rules of the house: linters, types, layers, laziness, and names."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onnxsplit

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - fixed commands
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_the_linters_find_nothing(command: tuple[str, ...]) -> None:
    finished = _run(*command)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_imports_point_downwards_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run(  # noqa: S603 - a fixed command
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def _list_modules() -> list[str]:
    found = pkgutil.walk_packages(onnxsplit.__path__, prefix="onnxsplit.")
    return [module.name for module in found if module.name != "onnxsplit.__main__"]


def test_public_names_resolve_after_every_submodule_is_imported() -> None:
    for name in _list_modules():
        importlib.import_module(name)
    for name in onnxsplit.__all__:
        assert getattr(onnxsplit, name) is not None
    for verb in ("cut", "inspect", "merge", "plan", "profile", "verify"):
        assert callable(getattr(onnxsplit, verb)), verb


def test_no_module_shares_its_name_with_a_public_name() -> None:
    shared = {name.rpartition(".")[2] for name in _list_modules()} & set(onnxsplit.__all__)
    assert not shared


def test_the_public_names_are_these() -> None:
    assert set(onnxsplit.__all__) == set(onnxsplit.__dir__())
    assert {"cut", "profile", "plan", "verify", "inspect", "merge", "Link"} <= set(
        onnxsplit.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'cake'"):
        onnxsplit.__getattr__("cake")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "onnx", "onnxruntime", "numpy", "scipy", "networkx", "typer"
    script = f"import sys, onnxsplit; print([m for m in {heavy!r} if m in sys.modules])"
    finished = subprocess.run(  # noqa: S603 - a fixed script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert finished.stdout.strip() == "[]"


def _list_texts() -> list[Path]:
    suffixes = {".py", ".md", ".toml", ".json", ".yml", ".txt", ""}
    skipped = {".git", ".venv", "build", "dist"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in suffixes
        and not any(
            part in skipped or part.endswith(("_cache", ".split", "cache__", "hypothesis"))
            for part in path.relative_to(ROOT).parts
        )
    ]


def test_no_file_names_a_machine_it_was_made_on() -> None:
    machine = re.compile(r"/(home|root|Users|work)/\w")
    for path in _list_texts():
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not machine.search(text), f"{path}: {machine.search(text)}"


def test_readme_begins_with_the_two_commands_that_ci_runs() -> None:
    finished = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, ROOT / ".ci" / "commands.py", ROOT / "README.md"],
        capture_output=True,
        text=True,
        check=True,
    )
    install, test = finished.stdout.splitlines()
    assert install.startswith("pip install . && onnxsplit cut samples/")
    assert test == 'pip install ".[dev]" && python -m pytest'
    sample = install.split()[-1]
    assert (ROOT / sample).is_file(), f"README's sample {sample} is not there"
