"""Write a stage once more as its target reads it: an older opset, float16, or the .ort format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from onnxsplit.engines.port import DEFAULT_RUNTIME
from onnxsplit.errors import UsageError, suggest
from onnxsplit.model.lowering import Lowered, lower_opset
from onnxsplit.model.precision import halve_stage
from onnxsplit.model.saving import write_model, write_ort_model
from onnxsplit.model.stages import Stage
from onnxsplit.model.wires import read_opset
from onnxsplit.stage_entries import LoweredEntry

Precision = Literal["fp32", "fp16"]
StageFormat = Literal["onnx", "ort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweringOptions:
    """What a stage's target reads.

    Parameters
    ----------
    opset : int or None
        The newest opset of ONNX's own domain; None for any.
    precision : str
        ``fp16`` for float16 weights and operators; what the stage takes and gives stays as it is.
    file_format : str
        ``ort`` for onnxruntime's mobile format, with its list of required operators.

    Raises
    ------
    UsageError
        There is no such precision or format.
    """

    opset: int | None = None
    precision: Precision = "fp32"
    file_format: StageFormat = "onnx"

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        for flag, value, known in (
            ("--device-precision", self.precision, get_args(Precision)),
            ("--device-format", self.file_format, get_args(StageFormat)),
        ):
            if value not in known:
                raise UsageError(f"{flag} {value}: there is no such. {suggest(value, known)}")

    @property
    def changes(self) -> bool:
        """Tell whether anything is to be written beside the stage as it was carved."""
        return self != LoweringOptions()

    def check(self, runtime: str) -> None:
        """Refuse a format that a runtime does not read.

        Raises
        ------
        UsageError
            It does not read it.
        """
        if self.file_format == "ort" and runtime != DEFAULT_RUNTIME:
            raise UsageError(
                f"--device-format ort is read by onnxruntime alone, and the stage runs on"
                f" {runtime}; drop one of the two."
            )


def write_lowered(
    stage: Stage, folder: Path, stem: str, options: LoweringOptions
) -> LoweredEntry | None:
    """Write a stage as its target reads it, beside the stage as it was carved.

    Parameters
    ----------
    stage : Stage
    folder : Path
    stem : str
        Of the file of the stage as it was carved.
    options : LoweringOptions

    Returns
    -------
    LoweredEntry or None
        None where the target reads the stage as it was carved.

    Raises
    ------
    UnsupportedModelError
        Operators can't be lowered, or the stage can't be converted.
    ModelError
        The stage's weights can't be read, or onnxruntime can't write its format.
    """
    lowered = Lowered(proto=stage.proto)
    if options.opset is not None:
        lowered = lower_opset(stage.proto, options.opset, who=f"{stage.tier} stage")
    proto, base_folder = lowered.proto, stage.base_folder
    if options.precision == "fp16":
        proto, base_folder = halve_stage(proto, base_folder), None
    if proto is stage.proto and options.file_format == "onnx":
        return None
    if options.file_format == "ort":
        files = write_ort_model(proto, folder, stem, base_folder=base_folder)
    else:
        saved = write_model(proto, folder, f"{stem}.lowered", base_folder=base_folder)
        files = {saved.file: saved.sha256, **saved.data_files}
    file, sha256 = next(iter(files.items()))
    return LoweredEntry(
        file=file,
        sha256=sha256,
        files={name: value for name, value in files.items() if name != file},
        file_format=options.file_format,
        opset=read_opset(proto),
        precision=options.precision,
        converted=lowered.converted,
        expanded=lowered.expanded,
    )
