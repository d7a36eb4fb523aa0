"""What is exported: a stage under the name by which clients will ask for it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxsplit.errors import UnsupportedModelError, UsageError, suggest
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, name_bundle
from onnxsplit.model.probe_model import PROBE_NAME
from onnxsplit.stage_entries import StageEntry

MODEL_FILE = "model.onnx"
VERSION = "1"
Source = Path | bytes
"""Where a file's content comes from: a file to copy, or the content itself."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One stage, ready to be served.

    Parameters
    ----------
    name : str
        The served model's name.
    bundle : str
        The name of the bundle, that of its first model.
    stage : StageEntry
    folder : Path
        Where the stage's files lie.
    model_sha256 : str or None
        The whole model that it is a part of.
    is_last : bool
        Whether the chain of stages ends with it.
    content : bytes or None
        The model itself, where it was made rather than cut: the probe.
    """

    name: str
    bundle: str
    stage: StageEntry
    folder: Path
    model_sha256: str | None
    is_last: bool = True
    content: bytes | None = None

    @property
    def is_probe(self) -> bool:
        """Whether it is there to measure a link; then it runs alone, on the processor."""
        return self.content is not None

    def list_files(self) -> dict[str, Source]:
        """Map the files of a version's folder, as every engine lays it out, to their sources."""
        if self.content is not None:
            return {MODEL_FILE: self.content}
        beside = {name: self.folder / name for name in self.stage.data_files}
        return {MODEL_FILE: self.folder / self.stage.file, **beside}


def list_services(
    bundles: Sequence[StoredBundle], *, names: Sequence[str] = (), tier: str | None = None
) -> tuple[Service, ...]:
    """Name the stage of each bundle that is served; of a bundle of several cuts, of each cut too.

    Parameters
    ----------
    bundles : sequence of StoredBundle
    names : sequence of str
        One for each bundle; the folders' names without ``.split`` if empty.
    tier : str, optional
        Whose stage; the last one's if not given.

    Raises
    ------
    UsageError
        The names are too few, too many, unfit or equal, or a bundle has no such stage.
    UnsupportedModelError
        A stage takes or gives what does not travel.
    """
    if names and len(names) != len(bundles):
        raise UsageError(f"{len(names)} names are given for {len(bundles)} bundles; name each.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"--name {name!r} must be letters, digits, '_', '-' and '.' alone.")
    chosen = list(names) or _name_bundles(bundles)
    services = tuple(
        service
        for name, bundle in zip(chosen, bundles, strict=True)
        for service in _list_own(name, bundle, tier)
    )
    _check_names([service.name for service in services])
    for service in services:
        _check_types(service)
    return services


def _list_own(name: str, bundle: StoredBundle, tier: str | None) -> Iterator[Service]:
    """Yield a bundle's stage, and for each of its cuts one named after it."""
    views = {name: bundle.manifest}
    views |= {f"{name}-{cut.id}": bundle.manifest.at_cut(cut.id) for cut in bundle.manifest.cuts}
    found = {label: _find_served(manifest, tier) for label, manifest in views.items()}
    if not any(found.values()):
        raise UsageError(_explain_absence(bundle, tier))
    for label, stage in found.items():
        if stage is not None:
            yield Service(
                name=label,
                bundle=name,
                stage=stage,
                folder=bundle.folder,
                model_sha256=bundle.manifest.model.get("sha256"),
                is_last=stage == views[label].stages[-1],
            )


def _name_bundles(bundles: Sequence[StoredBundle]) -> list[str]:
    """Name bundles by their folders."""
    return [name_bundle(bundle.folder) for bundle in bundles]


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that are the same, in whichever case, or that of the probe."""
    taken = {PROBE_NAME.lower()}
    for name in names:
        if name.lower() in taken:
            raise UsageError(f"Two models have the name {name!r}; give each bundle another --name.")
        taken.add(name.lower())


def _find_served(manifest: Manifest, tier: str | None) -> StageEntry | None:
    """Return the tier's stage, or the last one beyond the device; None if there is none."""
    device = next(iter(manifest.plan.get("tiers", ())), None)
    for stage in reversed(manifest.stages):
        if stage.tier == tier or (tier is None and stage.tier != device):
            return stage
    return None


def _explain_absence(bundle: StoredBundle, tier: str | None) -> str:
    """Say what there is instead of the stage that was asked for."""
    if tier is None:
        return (
            f"{bundle.folder} has no stage for a server, only the device's;"
            " name the stage to export by --tier."
        )
    tiers = [entry.tier for entry in bundle.manifest.stages]
    return f"{bundle.folder} has no stage {tier!r}. {suggest(tier, tiers)}"


def _check_types(service: Service) -> None:
    """Refuse values that no engine can be sent."""
    for spec in (*service.stage.inputs, *service.stage.outputs):
        if spec.kind != "tensor" or spec.dtype is None:
            raise UnsupportedModelError(
                f"The stage {service.stage.tier!r} of {service.folder} can't be served:"
                f" {spec.name!r} is a {spec.kind} of type {spec.dtype}, and only dense tensors"
                " travel."
            )
