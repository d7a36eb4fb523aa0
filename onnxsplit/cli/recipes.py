"""Recipes of training, and the server that trains beside, read from what was typed."""

from typing import TYPE_CHECKING

from onnxsplit.errors import UsageError
from onnxsplit.units import parse_duration

if TYPE_CHECKING:
    from onnxsplit.autodiff.halves.recipe import Recipe
    from onnxsplit.runtime.client_security import ClientSecurity
    from onnxsplit.workflows.training_servers import TrainingServer
from onnxsplit.cli.training_options import NormsName, OptimizerName, TiedName


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
