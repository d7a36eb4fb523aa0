"""The forms in which a result can be printed, and other options with a few named values."""

from enum import StrEnum


class OutputFormat(StrEnum):
    """How results and errors are written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class BoundaryName(StrEnum):
    """How crossings travel."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    UINT8 = "uint8"


class ObjectiveName(StrEnum):
    """What a plan minimises."""

    LATENCY = "latency"
    ENERGY = "energy"
    TRAINING = "training"
    THROUGHPUT = "throughput"


class RuntimeName(StrEnum):
    """What runs a stage."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


class PrecisionName(StrEnum):
    """What a stage computes in."""

    FP32 = "fp32"
    FP16 = "fp16"


class StageFormatName(StrEnum):
    """What a stage's file is."""

    ONNX = "onnx"
    ORT = "ort"


class MethodName(StrEnum):
    """How a cut is found."""

    AUTO = "auto"
    GENERAL = "general"
    BLOCKWISE = "blockwise"


class CertifyName(StrEnum):
    """On which graph a cut is certified."""

    SOLVED = "solved"
    ORIGINAL = "original"


class LabelPlace(StrEnum):
    """Where the labels of a training set live."""

    DEVICE = "device"
    SERVER = "server"
