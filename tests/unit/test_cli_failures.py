import pytest
import typer

from onnxsplit import errors
from onnxsplit.cli.failures import BUG, CommandLineError, Failure, explain


def all_errors() -> list[type[BaseException]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.OnnxSplitError)
    ]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_of_ours_keeps_its_sentence_and_exit_code(kind: type[Exception]) -> None:
    failure = explain(kind("One sentence."))
    assert failure == Failure(
        kind=kind.__name__,
        message="One sentence.",
        exit_code=kind.exit_code,  # type: ignore[attr-defined]  # on every class of the tree
    )


def test_a_sentence_stays_on_one_line_and_moves_no_cursor() -> None:
    assert explain(errors.ModelError("a\n  b\x1b[31m")).message == "a b\\x1b[31m"


def test_an_unexpected_error_is_owned_up_to() -> None:
    failure = explain(KeyError("lost"))
    assert failure.exit_code == BUG
    assert "bug in onnxsplit: KeyError: 'lost'" in failure.message
    assert "report" in failure.message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "out"), "'out': Permission denied."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (OSError(18, "Invalid link", "a", None, "b"), "'a' -> 'b': Invalid link."),
        (OSError("odd"), "odd."),
        (OSError(), "OSError."),
    ],
)
def test_the_system_s_errors_name_the_file(error: OSError, message: str) -> None:
    failure = explain(error)
    assert (failure.message, failure.exit_code) == (message, 2)


def test_the_parser_s_errors_are_usage_errors() -> None:
    assert CommandLineError.__name__ == "ClickException"
    assert explain(typer.BadParameter("No.")).exit_code == 2
    assert explain(typer.BadParameter("No.")).kind == "UsageError"


def test_ctrl_c_is_one_although_a_library_wraps_it_while_it_is_imported() -> None:
    wrapped = ImportError("initialization failed")
    wrapped.__cause__ = KeyboardInterrupt()
    assert explain(wrapped).message == "Interrupted."
    assert explain(ImportError("initialization failed")).exit_code == BUG
