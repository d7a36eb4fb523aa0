"""Names of what a training graph adds to a model's own."""

LABEL = "label"
LEARNING_RATE = "learning_rate"
STEP = "step"
LOSS = "loss"

FORWARD = "fwd"
BACKWARD = "bwd"
OPTIMIZER = "opt"
_MARK = "|"


def next_name(state: str) -> str:
    """Return the name of the output that is the next value of a state."""
    return f"next{_MARK}{state}"


def slot_name(slot: str, parameter: str) -> str:
    """Return the name of what an optimizer keeps for a parameter.

    Examples
    --------
    >>> slot_name("momentum", "conv1.weight")
    'momentum|conv1.weight'
    """
    return f"{slot}{_MARK}{parameter}"


def forward_name(operator: str) -> str:
    """Return the name of a forward node."""
    return f"{FORWARD}{_MARK}{operator}"


def optimizer_prefix(parameter: str) -> str:
    """Return what the names of the nodes that update a parameter begin with."""
    return f"{OPTIMIZER}{_MARK}{parameter}{_MARK}"


def optimizer_name(parameter: str, number: int) -> str:
    """Return the name of a node that updates a parameter."""
    return f"{optimizer_prefix(parameter)}{number}"
