"""What a command says, and where: results to stdout, talk and errors to stderr."""

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.streams import divert_stdout, write_result
from onnxsplit.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from onnxsplit.reporting.page import Page


@dataclass(slots=True, kw_only=True)
class Terminal:
    """How one run of the command line talks.

    Parameters
    ----------
    output_format : OutputFormat
    is_quiet : bool
        No progress, no warnings of third parties.
    is_debugging : bool
        Unexpected errors show their traceback.
    """

    output_format: OutputFormat = OutputFormat.TABLE
    is_quiet: bool = False
    is_debugging: bool = False

    def settle(self, output_format: OutputFormat, *, quiet: bool, debug: bool) -> None:
        """Take the command's own options."""
        self.output_format = output_format
        self.is_quiet = quiet
        self.is_debugging = self.is_debugging or debug

    @contextmanager
    def working(self) -> Iterator[Progress]:
        """Show progress while work runs, and keep stdout clean."""
        if self.is_quiet or self.output_format is OutputFormat.JSON:
            with divert_stdout(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield SilentProgress()
            return
        from onnxsplit.cli.progressbar import show_progress  # noqa: PLC0415 - rich is slow to import

        with show_progress() as progress, divert_stdout():
            yield progress

    def show(self, page: "Page", document: Mapping[str, Any], *, aside: bool = False) -> None:
        """Print a result in the chosen format; aside to stderr, where stdout takes arrays."""
        if aside:
            with divert_stdout():
                self.show(page, document)
            return
        match self.output_format:
            case OutputFormat.JSON:
                from onnxsplit.reporting.jsontext import write_json  # noqa: PLC0415 - loaded for results only

                write_result(write_json(document))
            case OutputFormat.MARKDOWN:
                from onnxsplit.reporting.markdown import render_markdown  # noqa: PLC0415 - likewise

                write_result(render_markdown(page))
            case OutputFormat.TABLE:
                from onnxsplit.reporting.text import render_text  # noqa: PLC0415 - likewise

                write_result(render_text(page, stream=sys.stdout))

    def announce(self, text: str, document: Mapping[str, Any]) -> None:
        """Tell how long work goes on: talk on stderr, or one line of JSON on stdout."""
        if self.output_format is OutputFormat.JSON:
            write_result(json.dumps(document, allow_nan=False))
        elif sys.stderr is not None and not self.is_quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def complain(self, *, kind: str, message: str, exit_code: int) -> None:
        """Print an error."""
        if self.output_format is OutputFormat.JSON:
            error = {"type": kind, "message": message, "exit_code": exit_code}
            line = json.dumps({"schema": "onnxsplit.error/1", "error": error})
        else:
            line = f"error: {message}"
        if sys.stderr is not None:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
