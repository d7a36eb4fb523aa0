"""The options of ``export``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number

DEFAULT_MAX_BATCH = 32


class EngineName(StrEnum):
    """What loads the repository."""

    TRITON = "triton"
    KSERVE = "kserve"
    OPENVINO = "openvino"
    RAY = "ray"


class AcceleratorName(StrEnum):
    """What runs the models."""

    CPU = "cpu"
    GPU = "gpu"
    NPU = "npu"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"


To = Annotated[EngineName, typer.Option("--to", help="The engine that will load it.")]
OutputRepository = Annotated[
    Path, typer.Option("--output", "-o", metavar="REPO", help="Folder to write.")
]
Accelerator = Annotated[
    AcceleratorName, typer.Option("--accelerator", help="What runs the models.")
]
Instances = Annotated[
    int,
    typer.Option(
        "--instances",
        metavar="N",
        parser=whole_number(1),
        help="Copies of each model that answer at once.",
    ),
]
MaxBatch = Annotated[
    int,
    typer.Option(
        "--max-batch",
        metavar="N",
        parser=whole_number(1),
        help="Largest batch of a request, where the dims allow any (triton, kserve).",
    ),
]
DynamicBatching = Annotated[
    bool,
    typer.Option(
        "--dynamic-batching",
        help="Let Triton join requests; only for models whose rows do not depend on each other.",
    ),
]
StorageUri = Annotated[
    str | None,
    typer.Option(
        "--storage-uri", metavar="URI", help="Where the cluster finds the repository (kserve)."
    ),
]
