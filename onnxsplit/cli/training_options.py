"""The options of split training: what stages are made for, and how they are run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number

DEFAULT_RATE = 0.01
DEFAULT_DECAY_EVERY = 30
DEFAULT_DECAY_FACTOR = 0.1
DEFAULT_PATIENCE = "60s"
DEFAULT_DEADLINE = "60s"


class OptimizerName(StrEnum):
    """How parameters follow their gradients."""

    SGD = "sgd"
    ADAM = "adam"
    ADAMW = "adamw"


class NormsName(StrEnum):
    """What becomes of norms in training."""

    TRAIN = "train"
    FROZEN = "frozen"


class TiedName(StrEnum):
    """What becomes of a parameter that several operators read."""

    UNTIE = "untie"
    KEEP = "keep"


class ScheduleName(StrEnum):
    """How the learning rate goes."""

    CONSTANT = "constant"
    STEP = "step"
    COSINE = "cosine"


class SchemeName(StrEnum):
    """How several clients learn."""

    SEQUENTIAL = "sequential"
    SPLITFED_V1 = "splitfed-v1"
    SPLITFED_V2 = "splitfed-v2"


Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="cross-entropy|mse|FILE",
        help="With --objective training: write training stages too, for this loss; a FILE is an"
        " ONNX model of predictions and a 'label' that gives a scalar.",
    ),
]
Optimizer = Annotated[
    OptimizerName | None, typer.Option("--optimizer", help="With --loss; default: sgd.")
]
Momentum = Annotated[
    float | None, typer.Option("--momentum", metavar="M", help="Of sgd; default: 0.9.")
]
WeightDecay = Annotated[
    float | None, typer.Option("--weight-decay", metavar="W", help="With --loss; default: 0.")
]
Norms = Annotated[
    NormsName | None,
    typer.Option(
        "--norms",
        help="With --loss: train norms on the batch's statistics (default), or leave them frozen.",
    ),
]
Tied = Annotated[
    TiedName | None,
    typer.Option(
        "--tied",
        help="With --loss: initializers that several operators read are trained apart (default),"
        " or kept as one.",
    ),
]
RecomputeActivations = Annotated[
    bool,
    typer.Option(
        "--recompute-activations",
        help="With --loss: the device runs forward again on the way back, and keeps less.",
    ),
]

ProfileTraining = Annotated[
    bool,
    typer.Option(
        "--training",
        help="Measure a training step (of --loss, cross-entropy if not given): forward as it runs"
        " there, and backward.",
    ),
]

Data = Annotated[
    list[Path],
    typer.Option(
        "--data",
        metavar="FILE|DIR",
        help="An .npz file, or a folder of them as shards: an array for each model input, and one"
        " named 'label'. Given again for each further client.",
    ),
]
Clients = Annotated[
    int,
    typer.Option(
        "--clients",
        parser=whole_number(1),
        metavar="N",
        help="Divide the data among so many clients.",
    ),
]
Scheme = Annotated[
    SchemeName,
    typer.Option(
        "--scheme",
        help="How several clients learn: one after the other with one device half; or each round"
        " from the same device half, averaged after it, with a server half each (v1) or one (v2).",
    ),
]
ServerUrl = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Where `serve --training` holds the server's half; without it, it runs here.",
    ),
]
Client = Annotated[
    str,
    typer.Option(
        "--client",
        metavar="NAME",
        help="With --server: train a half of this client's own, not the shared one.",
    ),
]
RenewServer = Annotated[
    bool,
    typer.Option(
        "--renew-server", help="With --server: put its half back into its first state at the start."
    ),
]
Patience = Annotated[
    str,
    typer.Option(
        "--patience",
        metavar="TIME",
        help="With --server: how long to wait for it when it went away; both halves then go on"
        " from --checkpoint.",
    ),
]
MessageDeadline = Annotated[
    str, typer.Option("--message-deadline", metavar="TIME", help="With --server: for each message.")
]
Evaluation = Annotated[
    Path | None,
    typer.Option(
        "--evaluation", metavar="FILE|DIR", help="The same, to be scored after each epoch."
    ),
]
Epochs = Annotated[
    int, typer.Option("--epochs", parser=whole_number(1), metavar="N", help="In all.")
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", parser=whole_number(1), metavar="N", help="End after N steps in all."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", parser=whole_number(1), metavar="N", help="Default: 32, or the model's own."
    ),
]
LearningRate = Annotated[float, typer.Option("--learning-rate", metavar="RATE")]
Schedule = Annotated[ScheduleName, typer.Option("--schedule", help="How the rate goes.")]
Warmup = Annotated[
    int,
    typer.Option(
        "--warmup", parser=whole_number(0), metavar="N", help="Steps in which the rate rises."
    ),
]
DecayEvery = Annotated[
    int,
    typer.Option(
        "--decay-every",
        parser=whole_number(1),
        metavar="N",
        help="With --schedule step: epochs from one fall of the rate to the next.",
    ),
]
DecayFactor = Annotated[
    float,
    typer.Option("--decay-factor", metavar="F", help="With --schedule step: how far it falls."),
]
NoShuffle = Annotated[
    bool, typer.Option("--no-shuffle", help="Take the examples in the order of the files.")
]
CheckpointFolder = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="DIR", help="Keep there where the training stands, each epoch."
    ),
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(
        "--checkpoint-every",
        parser=whole_number(1),
        metavar="N",
        help="Also each N steps within an epoch.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from --checkpoint, if there is one, bit for bit."),
]
TrainedFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for the trained halves and model.onnx; default: <DIR>.trained.",
    ),
]
