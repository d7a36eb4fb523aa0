"""``split.json``: what a bundle holds, typed and versioned (``onnxsplit.bundle/1``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from onnxsplit.cut_entries import CutEntry
from onnxsplit.errors import BundleError, ManifestVersionError, UsageError, suggest
from onnxsplit.stage_entries import StageEntry

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
