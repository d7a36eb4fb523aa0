"""The options of what serves bundles, here or elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_REQUEST_BYTES = "256MiB"
DEFAULT_QUEUE = 64
DEFAULT_SEQUENCES = 64
DEFAULT_EXPIRY = "600s"
DEFAULT_DRAIN = "30s"
DEFAULT_NEXT_TIMEOUT = "60s"

Folders = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR...", help="Folders written by `cut`; each becomes a model of its own name."
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="The model's name, one for each DIR; default: the folder's, without .split.",
    ),
]
Training = Annotated[
    bool,
    typer.Option(
        "--training",
        help="Also hold the server's half of each bundle's training, for `train --server`.",
    ),
]
Tier = Annotated[
    str | None,
    typer.Option("--tier", metavar="NAME", help="Whose stage; default: the last one's."),
]
Host = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all.")
]
Port = Annotated[
    int,
    typer.Option("--port", parser=whole_number(0), metavar="N", help="Port; 0 for a free one."),
]
GrpcPort = Annotated[
    int | None,
    typer.Option(
        "--grpc-port",
        parser=whole_number(0),
        metavar="N",
        help="Speak gRPC on this port as well (usually 8001); 0 for a free one.",
    ),
]
MaxRequestBytes = Annotated[
    str, typer.Option("--max-request-bytes", metavar="SIZE", help="Larger requests are refused.")
]
Queue = Annotated[
    int,
    typer.Option(
        "--queue", parser=whole_number(0), metavar="N", help="Requests that may wait; more: 429."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        parser=whole_number(1),
        metavar="N",
        help="Requests that run at a time; default: the number of cores, at least 2.",
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option("--tls-cert", metavar="FILE", help="This machine's own certificate (PEM)."),
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key (PEM).")
]
TlsClientAuthority = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca",
        metavar="FILE",
        help="Ask clients for a certificate that one of these authorities signed (PEM).",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="The bearer token that clients show is this file's first line.",
    ),
]
Next = Annotated[
    str | None,
    typer.Option(
        "--next",
        metavar="URL",
        help="Forward what the stage makes to the server of the tier beyond: http://host:8000.",
    ),
]
NextName = Annotated[
    str | None,
    typer.Option("--next-name", metavar="NAME", help="The model's name there; default: as here."),
]
NextTimeout = Annotated[
    str, typer.Option("--next-timeout", metavar="DURATION", help="Longest time for its answer.")
]
NextTokenFile = Annotated[
    Path | None,
    typer.Option("--next-token-file", metavar="FILE", help="A file with the token it asks for."),
]
NextAuthorities = Annotated[
    Path | None,
    typer.Option(
        "--next-tls-ca", metavar="FILE", help="Certificates that its own must come from (PEM)."
    ),
]
NextCertificate = Annotated[
    Path | None,
    typer.Option("--next-tls-cert", metavar="FILE", help="Our certificate, if it asks for one."),
]
NextKey = Annotated[
    Path | None, typer.Option("--next-tls-key", metavar="FILE", help="The key that belongs to it.")
]
MaxSequences = Annotated[
    int,
    typer.Option(
        "--max-sequences",
        parser=whole_number(1),
        metavar="N",
        help="Sequences whose states are kept at a time.",
    ),
]
SequenceExpiry = Annotated[
    str,
    typer.Option(
        "--sequence-expiry", metavar="DURATION", help="A sequence that rests for longer is dropped."
    ),
]
Drain = Annotated[
    str,
    typer.Option(
        "--drain", metavar="DURATION", help="How long running requests may take at the end."
    ),
]
