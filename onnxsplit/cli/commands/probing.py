"""``onnxsplit probe``."""

import typer

from onnxsplit.cli import options, server_options, serving_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal

DEFAULT_BUDGET = "3s"


def probe(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    url: serving_options.Url,
    *,
    output: serving_options.OutputLink = None,
    label: serving_options.Label = "",
    budget: options.Budget = DEFAULT_BUDGET,
    tls_ca: serving_options.Authorities = None,
    tls_cert: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    token_file: server_options.TokenFile = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure the link to a server, through the protocol itself, for `cut --link`."""
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import connecting, probing  # noqa: PLC0415 - help must not load it

        found = probing.probe(
            url,
            output,
            label=label,
            budget=budget,
            security=connecting.read_security(
                authorities=tls_ca, certificate=tls_cert, key=tls_key, token_file=token_file
            ),
            progress=progress,
        )
    from onnxsplit.reporting.link_report import describe_link  # noqa: PLC0415 - likewise

    page = describe_link(found.measurement, found.passive, output=output)
    terminal.show(page, found.to_json())
