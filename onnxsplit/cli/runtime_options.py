"""One annotated alias for each option of what runs a stage."""

from typing import Annotated

import typer

from onnxsplit.cli.formats import RuntimeName

Runtime = Annotated[
    RuntimeName | None,
    typer.Option(
        "--runtime",
        help="What runs the model: onnxruntime, or openvino (an extra); with --stages, default:"
        " what they were cut for.",
    ),
]
DeviceRuntime = Annotated[
    RuntimeName | None,
    typer.Option(
        "--device-runtime",
        help="What runs the first stage: onnxruntime, or openvino (an extra).",
    ),
]
ServerRuntime = Annotated[
    RuntimeName | None,
    typer.Option("--server-runtime", help="The same for the last stage."),
]
