"""The options of split training: what stages are made for, and how they are run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.errors import UsageError
from onnxsplit.units import parse_duration

if TYPE_CHECKING:
    from onnxsplit.autodiff.halves.recipe import Recipe
    from onnxsplit.runtime.client_security import ClientSecurity
    from onnxsplit.workflows.training_servers import TrainingServer

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


def read_measured(
    *,
    is_wanted: bool,
    loss: str | None,
    optimizer: OptimizerName | None,
    norms: NormsName | None,
) -> "Recipe | None":
    """Return the training whose step is to be measured; None if none is.

    Raises
    ------
    UsageError
        An option goes with ``--training``, and that is not given.
    """
    if not is_wanted:
        given = {"--loss": loss, "--optimizer": optimizer, "--norms": norms}
        for flag, value in given.items():
            if value is not None:
                raise UsageError(f"{flag} says what is trained; give --training as well.")
        return None
    return read_recipe(
        loss or "cross-entropy",
        optimizer=optimizer,
        momentum=None,
        weight_decay=None,
        norms=norms,
        tied=None,
        recompute=False,
    )


def read_recipe(
    loss: str | None,
    *,
    optimizer: OptimizerName | None,
    momentum: float | None,
    weight_decay: float | None,
    norms: NormsName | None,
    tied: TiedName | None,
    recompute: bool,
) -> "Recipe | None":
    """Return how halves are to be trained; None if no training stages are wanted.

    Raises
    ------
    UsageError
        An option goes with ``--loss``, and that is not given; or it makes no sense.
    """
    given = {
        "--optimizer": optimizer,
        "--momentum": momentum,
        "--weight-decay": weight_decay,
        "--norms": norms,
        "--tied": tied,
        "--recompute-activations": recompute or None,
    }
    if loss is None:
        for flag, value in given.items():
            if value is not None:
                raise UsageError(f"{flag} says how stages are trained; give --loss as well.")
        return None
    from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe  # noqa: PLC0415 - help must not load it

    if momentum is not None and optimizer not in {None, OptimizerName.SGD}:
        raise UsageError(f"--momentum is for --optimizer sgd, not {optimizer}.")
    constants = {"momentum": momentum, "weight_decay": weight_decay}
    return Recipe(
        loss=loss,
        optimizer=Optimizer(
            name="sgd" if optimizer is None else optimizer.value,
            **{key: value for key, value in constants.items() if value is not None},
        ),
        norms="train" if norms is None else norms.value,
        tied="untie" if tied is None else tied.value,
        recompute=recompute,
    )


def read_server(
    url: str | None,
    *,
    name: str | None,
    client: str,
    renew: bool,
    patience: str,
    deadline: str,
    security: "ClientSecurity",
) -> "TrainingServer | None":
    """Return where the server's half is; None if it runs here.

    Raises
    ------
    UsageError
        An option goes with ``--server``, and that is not given; or it makes no sense.
    """
    from onnxsplit.runtime.client_security import ClientSecurity  # noqa: PLC0415 - help must not load it
    from onnxsplit.workflows.training_servers import TrainingServer  # noqa: PLC0415 - likewise

    given = {
        "--served-name": name,
        "--client": client,
        "--renew-server": renew,
        "--tls-ca, --tls-cert, --tls-key or --token-file": security != ClientSecurity(),
    }
    if url is None:
        for flag, value in given.items():
            if value:
                raise UsageError(f"{flag} is about a server elsewhere; give --server as well.")
        return None
    return TrainingServer(
        url=url,
        name=name,
        client=client,
        security=security,
        timeout_seconds=parse_duration(deadline),
        patience_seconds=parse_duration(patience),
        renew=renew,
    )
