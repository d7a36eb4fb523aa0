"""The forms in which a result can be printed, and other options with a few named values."""

from enum import StrEnum


class OutputFormat(StrEnum):
    """How results and errors are written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class ObjectiveName(StrEnum):
    """What a plan minimises."""

    LATENCY = "latency"
    TRAINING = "training"


class LabelPlace(StrEnum):
    """Where the labels of a training set live."""

    DEVICE = "device"
    SERVER = "server"
