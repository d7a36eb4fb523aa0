"""Stages as ``split.json`` describes them: files with their hashes, what they take and give."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from onnxsplit.graph import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LoweredEntry:
    """A stage once more, as its target reads it; it takes and gives the same.

    Parameters
    ----------
    file, sha256 : str
        File name inside the bundle, and the hash of its bytes.
    files : mapping of str to str
        Further files to their hashes: external data, or the list of required operators.
    file_format : str
        ``onnx``, or ``ort``: onnxruntime's mobile format.
    opset : int
        Of ONNX's own domain.
    precision : str
        ``fp32`` for the model's own, or ``fp16``.
    converted, expanded : tuple of str
        Operators that ONNX's converter rewrote, and that were replaced by their function's body.
    """

    file: str
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict)
    file_format: str = "onnx"
    opset: int = 0
    precision: str = "fp32"
    converted: tuple[str, ...] = ()
    expanded: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry as the manifest holds it."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "files": dict(self.files),
            "format": self.file_format,
            "opset": self.opset,
            "precision": self.precision,
            "converted": list(self.converted),
            "expanded": list(self.expanded),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Self | None:
        """Read an entry from its parsed JSON; KeyError or TypeError if it is malformed."""
        if document is None:
            return None
        return cls(
            file=document["file"],
            sha256=document["sha256"],
            files=dict(document.get("files", {})),
            file_format=document.get("format", "onnx"),
            opset=document.get("opset", 0),
            precision=document.get("precision", "fp32"),
            converted=tuple(document.get("converted", ())),
            expanded=tuple(document.get("expanded", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """One stage as the manifest describes it.

    Parameters
    ----------
    tier : str
    file : str
        File name inside the bundle.
    sha256 : str
        Hash of that file's bytes.
    data_files : mapping of str to str
        External data file names to their hashes.
    inputs, outputs : tuple of TensorSpec
        Types, with symbolic dims where the model has them.
    operators : int
        Live, non-constant operators.
    weight_bytes : int
    threads : int or None
        Recommended intra-op threads: those of the profile that the plan rests on.
    peak_bytes : int or None
        Peak memory, where it is known.
    state_bytes : int or None
        What the stage's tier keeps from one run to the next, where it is known.
    runtime : str
        What the stage was cut for and verified on.
    lowered : LoweredEntry or None
        The stage as its target reads it, where that is another file.
    """

    tier: str
    file: str
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: int
    weight_bytes: int
    data_files: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    peak_bytes: int | None = None
    state_bytes: int | None = 0
    runtime: str = "onnxruntime"
    lowered: LoweredEntry | None = None

    @property
    def runnable_file(self) -> str:
        """Name of the file that the tier runs; merging takes ``file``."""
        return self.file if self.lowered is None else self.lowered.file

    @property
    def rounding(self) -> str | None:
        """Element type to whose tolerance a rewritten stage is held; None for bit equality."""
        if self.lowered is None:
            return None
        return "float16" if self.lowered.precision == "fp16" else "float32"

    @property
    def files(self) -> dict[str, str]:
        """All of the stage's files, with their hashes."""
        files = {self.file: self.sha256, **self.data_files}
        if self.lowered is not None:
            files |= {self.lowered.file: self.lowered.sha256, **self.lowered.files}
        return files

    def to_json(self) -> dict[str, Any]:
        """Return the stage as the manifest holds it."""
        return {
            "tier": self.tier,
            "file": self.file,
            "sha256": self.sha256,
            "data_files": dict(self.data_files),
            "inputs": [spec_to_json(spec) for spec in self.inputs],
            "outputs": [spec_to_json(spec) for spec in self.outputs],
            "operators": self.operators,
            "weight_bytes": self.weight_bytes,
            "threads": self.threads,
            "peak_bytes": self.peak_bytes,
            "runtime": self.runtime,
            **({} if self.lowered is None else {"lowered": self.lowered.to_json()}),
            **({} if self.state_bytes == 0 else {"state_bytes": self.state_bytes}),
        }

    @property
    def fingerprint(self) -> str:
        """One sha256 for all of the stage's files, by which two machines know the same stage."""
        if not self.data_files:
            return self.sha256
        lines = [self.sha256, *(f"{name} {digest}" for name, digest in self.data_files.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read a stage from its parsed JSON; KeyError or TypeError if it is malformed."""
        return cls(
            tier=document["tier"],
            file=document["file"],
            sha256=document["sha256"],
            data_files=dict(document.get("data_files", {})),
            inputs=tuple(spec_from_json(entry) for entry in document["inputs"]),
            outputs=tuple(spec_from_json(entry) for entry in document["outputs"]),
            operators=document["operators"],
            weight_bytes=document["weight_bytes"],
            threads=document.get("threads"),
            peak_bytes=document.get("peak_bytes"),
            state_bytes=document.get("state_bytes", 0),
            runtime=document.get("runtime", "onnxruntime"),
            lowered=LoweredEntry.from_json(document.get("lowered")),
        )


def spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    """Write a stage's input or output."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "dtype": spec.dtype,
        "shape": None if spec.shape is None else list(spec.shape),
    }


def spec_from_json(entry: Mapping[str, Any]) -> TensorSpec:
    """Read a stage's input or output."""
    shape = entry["shape"]
    return TensorSpec(
        name=entry["name"],
        kind=entry.get("kind", "tensor"),
        dtype=entry["dtype"],
        shape=None if shape is None else tuple(shape),
    )
