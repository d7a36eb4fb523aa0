"""The command line: its commands, and the one place where errors become exit codes."""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from onnxsplit.cli.commands.cutting import cut
from onnxsplit.cli.commands.exports import export
from onnxsplit.cli.commands.frontiers import frontier
from onnxsplit.cli.commands.inspection import inspect
from onnxsplit.cli.commands.merging import merge
from onnxsplit.cli.commands.planning import plan
from onnxsplit.cli.commands.probing import probe
from onnxsplit.cli.commands.profiling import profile
from onnxsplit.cli.commands.running import run as run_split
from onnxsplit.cli.commands.serving import serve
from onnxsplit.cli.commands.simulation import simulate
from onnxsplit.cli.commands.training import train
from onnxsplit.cli.commands.verification import verify
from onnxsplit.cli.failures import INTERRUPTED, USAGE, explain, is_bug
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal

application = typer.Typer(
    name="onnxsplit",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Every option can also be set by the environment, as ONNXSPLIT_LINK=4g, or in"
        " onnxsplit.toml or [tool.onnxsplit] of pyproject.toml, as link = '4g'."
        " Exit codes: 0 done, 1 a valid no, 2 bad input, 3 the remote side, 70 a bug,"
        " 130 interrupted."
    ),
)
_COMMANDS = (
    cut,
    profile,
    plan,
    frontier,
    verify,
    inspect,
    merge,
    train,
    serve,
    export,
    simulate,
    probe,
)
for _command in _COMMANDS:
    application.command()(_command)
application.command("run")(run_split)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and seldom asked for

        typer.echo(f"onnxsplit {version('onnxsplit')}")
        raise typer.Exit


@application.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Cut an ONNX model where it is provably best: two runnable halves, measured and verified."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name.

    Returns
    -------
    int
        The exit code.
    """
    terminal = Terminal(
        output_format=_guess_format(arguments, os.environ),
        is_debugging=_is_set(os.environ.get("ONNXSPLIT_DEBUG", "")),
    )
    try:
        code = application(
            args=list(arguments), prog_name="onnxsplit", standalone_mode=False, obj=terminal
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last resort, by design
        return _fail(terminal, error)
    if code == INTERRUPTED:  # typer makes an exit of the interrupt
        return _fail(terminal, KeyboardInterrupt())
    return code if isinstance(code, int) else 0


def _fail(terminal: Terminal, error: BaseException) -> int:
    """Tell about an error and return its exit code."""
    failure = explain(error)
    if is_bug(failure) and terminal.is_debugging and sys.stderr is not None:
        traceback.print_exception(error)
    terminal.complain(kind=failure.kind, message=failure.message, exit_code=failure.exit_code)
    return failure.exit_code


def _guess_format(arguments: Sequence[str], environment: Mapping[str, str]) -> OutputFormat:
    """Find the wanted format before anything is parsed, so that usage errors follow it."""
    words = [environment.get("ONNXSPLIT_FORMAT", "")]
    for place, argument in enumerate(arguments):
        if argument == "--format":
            words.extend(arguments[place + 1 : place + 2])
        words.extend([argument.removeprefix("--format=")] * argument.startswith("--format="))
    return OutputFormat.JSON if words[-1] == "json" else OutputFormat.TABLE


def _is_set(text: str) -> bool:
    """Read an environment switch."""
    return text.strip().lower() not in {"", "0", "false", "no", "off"}
