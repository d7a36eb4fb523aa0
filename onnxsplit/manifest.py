"""``split.json``: what a bundle holds, typed and versioned (``onnxsplit.bundle/1``)."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from onnxsplit.errors import BundleError, ManifestVersionError, UsageError, suggest
from onnxsplit.graph import TensorSpec

BUNDLE_SCHEMA = "onnxsplit.bundle/1"
MANIFEST_FILE = "split.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarvingReport:
    """What carving changed, beyond distributing the operators.

    Parameters
    ----------
    renamed : mapping of str to str
        New operator name to the model's own, where that was empty or not unique.
    dropped : tuple of str
        Operators that no model output depends on.
    copied_constants : mapping of str to tuple of str
        Tier to the constant operators and initializers that another tier holds as well.
    notes : tuple of str
        Sentences that the reader should know.
    recomputed : tuple of str
        Operators that both the first and the last tier run, so that less travels.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    copied_constants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recomputed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as the manifest holds it."""
        return {
            "renamed": dict(self.renamed),
            "dropped": list(self.dropped),
            "copied_constants": {
                tier: list(names) for tier, names in self.copied_constants.items()
            },
            "notes": list(self.notes),
            **({"recomputed": list(self.recomputed)} if self.recomputed else {}),
        }


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CutEntry:
    """One of several cuts in a bundle: best over a stretch of rates, with stages of its own.

    Parameters
    ----------
    id : str
        Its name within the bundle, such as ``cut-1`` or ``all-device``.
    from_bytes_per_second, to_bytes_per_second : float
        Uplink rates over which it is best; ``inf`` where there is no end.
    constant_seconds : float
        What a run takes over a link without limits and without a round trip.
    bytes_per_uplink, bytes_per_downlink : float
        Seconds that are added for each second that a byte takes up, and down: what travels.
    round_trips : int
        1 if a tier beyond the device runs anything.
    stages : tuple of StageEntry
    yields, crossings, plan, parity, carving
        As in `Manifest`.
    """

    id: str
    from_bytes_per_second: float
    to_bytes_per_second: float
    constant_seconds: float
    bytes_per_uplink: float
    bytes_per_downlink: float
    round_trips: int
    stages: tuple[StageEntry, ...]
    yields: Mapping[str, str]
    crossings: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]
    parity: Mapping[str, Any] | None
    carving: Mapping[str, Any]

    def predict_seconds(
        self, *, up_bytes_per_second: float, down_bytes_per_second: float, round_trip_seconds: float
    ) -> float:
        """Return what a run takes over a link."""
        return (
            self.constant_seconds
            + self.bytes_per_uplink / up_bytes_per_second
            + self.bytes_per_downlink / down_bytes_per_second
            + self.round_trips * round_trip_seconds
        )

    def to_json(self) -> dict[str, Any]:
        """Return the cut as the manifest holds it; a rate without end is null."""
        end = self.to_bytes_per_second
        return {
            "id": self.id,
            "from_bytes_per_second": self.from_bytes_per_second,
            "to_bytes_per_second": end if math.isfinite(end) else None,
            "cost": {
                "constant_seconds": self.constant_seconds,
                "bytes_per_uplink": self.bytes_per_uplink,
                "bytes_per_downlink": self.bytes_per_downlink,
                "round_trips": self.round_trips,
            },
            "stages": [stage.to_json() for stage in self.stages],
            "yields": dict(self.yields),
            "crossings": [dict(crossing) for crossing in self.crossings],
            "plan": dict(self.plan),
            "parity": None if self.parity is None else dict(self.parity),
            "carving": dict(self.carving),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read a cut from its parsed JSON; KeyError, TypeError or ValueError if malformed."""
        end, cost = document["to_bytes_per_second"], document["cost"]
        return cls(
            id=document["id"],
            from_bytes_per_second=float(document["from_bytes_per_second"]),
            to_bytes_per_second=math.inf if end is None else float(end),
            constant_seconds=float(cost["constant_seconds"]),
            bytes_per_uplink=float(cost["bytes_per_uplink"]),
            bytes_per_downlink=float(cost["bytes_per_downlink"]),
            round_trips=int(cost["round_trips"]),
            stages=tuple(StageEntry.from_json(entry) for entry in document["stages"]),
            yields=dict(document["yields"]),
            crossings=tuple(dict(entry) for entry in document["crossings"]),
            plan=dict(document["plan"]),
            parity=None if document["parity"] is None else dict(document["parity"]),
            carving=dict(document["carving"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle holds.

    Parameters
    ----------
    model : mapping
        ``sha256``, ``structure``, and the model's ``inputs`` and ``outputs`` with their types.
    stages : tuple of StageEntry
        In the order in which they run.
    yields : mapping of str to str
        Model output to the tier whose stage makes it.
    crossings : tuple of mapping
        As in the plan.
    plan : mapping
        The plan's JSON.
    parity : mapping or None
        Evidence that the stages equal the whole; None if it was not asked for.
    carving : mapping
        What carving changed.
    wires : tuple of mapping
        Crossings that travel narrower: ``tensor``, ``value`` (its name while it travels),
        ``wire`` and, of a quantiser, ``scale`` and ``zero_point``.
    cuts : tuple of CutEntry
        Of a bundle for several rates: every cut, those for slow links first. One of them is also
        what the bundle's own stages and plan describe.
    training : mapping or None
        Stages that train, their state, and what they need; see `onnxsplit.training.section`.
    trained : mapping or None
        Of a bundle that training wrote: the ``file`` of the trained whole, ``steps`` that were
        done, ``source_sha256`` of the model that was trained, and ``files`` with their hashes.
    extra : mapping
        Further keys of the file, kept as they are.
    """

    model: Mapping[str, Any]
    stages: tuple[StageEntry, ...]
    yields: Mapping[str, str]
    crossings: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]
    parity: Mapping[str, Any] | None
    carving: Mapping[str, Any]
    wires: tuple[Mapping[str, Any], ...] = ()
    cuts: tuple[CutEntry, ...] = ()
    training: Mapping[str, Any] | None = None
    trained: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def at_cut(self, cut: str) -> Self:
        """Return the manifest of one of the cuts, as if it were alone.

        Raises
        ------
        UsageError
            The bundle has no such cut.
        """
        for entry in self.cuts:
            if entry.id == cut:
                return replace(
                    self,
                    stages=entry.stages,
                    yields=entry.yields,
                    crossings=entry.crossings,
                    plan=entry.plan,
                    parity=entry.parity,
                    carving=entry.carving,
                    cuts=(),
                )
        known = suggest(cut, [entry.id for entry in self.cuts])
        raise UsageError(f"The bundle has no cut {cut!r}. {known}")

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as ``split.json`` holds it."""
        return {
            "schema": BUNDLE_SCHEMA,
            "model": dict(self.model),
            "stages": [stage.to_json() for stage in self.stages],
            "yields": dict(self.yields),
            "crossings": [dict(crossing) for crossing in self.crossings],
            "plan": dict(self.plan),
            "parity": None if self.parity is None else dict(self.parity),
            "carving": dict(self.carving),
            **({"wires": [dict(entry) for entry in self.wires]} if self.wires else {}),
            **({"cuts": [cut.to_json() for cut in self.cuts]} if self.cuts else {}),
            **({} if self.training is None else {"training": dict(self.training)}),
            **({} if self.trained is None else {"trained": dict(self.trained)}),
            **self.extra,
        }

    @classmethod
    def from_json(cls, document: Any) -> Self:  # noqa: ANN401 - JSON can be anything
        """Read a manifest from its parsed JSON.

        Raises
        ------
        ManifestVersionError
            The schema is one that this version does not read.
        BundleError
            A key is missing or a value has the wrong type.
        """
        if not isinstance(document, Mapping):
            raise BundleError(f"{MANIFEST_FILE} must be a JSON object.")
        if document.get("schema") != BUNDLE_SCHEMA:
            raise ManifestVersionError(
                f"{MANIFEST_FILE} has the schema {document.get('schema')!r};"
                f" this version reads {BUNDLE_SCHEMA!r}."
            )
        known = {"schema", "model", "stages", "yields", "crossings", "plan", "parity", "carving"}
        known |= {"wires", "cuts", "training", "trained"}
        try:
            return cls(
                model=dict(document["model"]),
                stages=tuple(StageEntry.from_json(entry) for entry in document["stages"]),
                yields=dict(document["yields"]),
                crossings=tuple(dict(entry) for entry in document["crossings"]),
                plan=dict(document["plan"]),
                parity=None if document["parity"] is None else dict(document["parity"]),
                carving=dict(document["carving"]),
                wires=tuple(
                    {**entry, "tensor": entry["tensor"], "value": entry["value"]}
                    for entry in document.get("wires", ())
                ),
                cuts=tuple(CutEntry.from_json(entry) for entry in document.get("cuts", ())),
                training=None if document.get("training") is None else dict(document["training"]),
                trained=None if document.get("trained") is None else dict(document["trained"]),
                extra={key: value for key, value in document.items() if key not in known},
            )
        except KeyError as error:
            raise BundleError(f"{MANIFEST_FILE} has no key {error.args[0]!r}.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{MANIFEST_FILE} is malformed: {error}.") from error


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
