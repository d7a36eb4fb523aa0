"""One annotated alias for each option of what runs a stage."""

from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.cli.formats import PrecisionName, RuntimeName, StageFormatName

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
DeviceOpset = Annotated[
    int | None,
    typer.Option(
        "--device-opset",
        parser=whole_number(1),
        metavar="N",
        help="The newest opset that the device reads; its stage is lowered to it.",
    ),
]
DevicePrecision = Annotated[
    PrecisionName,
    typer.Option(
        "--device-precision", help="fp16: float16 weights and operators in the device's stage."
    ),
]
DeviceFormat = Annotated[
    StageFormatName,
    typer.Option(
        "--device-format",
        help="ort: onnxruntime's mobile format, with the operators that a small build needs.",
    ),
]
