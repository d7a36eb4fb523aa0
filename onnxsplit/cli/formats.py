"""The forms in which a result can be printed."""

from enum import StrEnum


class OutputFormat(StrEnum):
    """How results and errors are written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class ObjectiveName(StrEnum):
    """What a plan minimises."""

    LATENCY = "latency"
