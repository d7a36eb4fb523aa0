"""Bundles as pages and documents: what ``cut`` prints."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.evidence import ParityResult
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import MANIFEST_FILE, Manifest
from onnxsplit.planned import Plan
from onnxsplit.reporting.cuts_report import cuts_blocks
from onnxsplit.reporting.data_report import data_blocks
from onnxsplit.reporting.mix_report import mix_blocks
from onnxsplit.reporting.outlook_report import outlook_blocks
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.parity_report import describe_parity, summarise_parity
from onnxsplit.reporting.plan_report import (
    assumption_blocks,
    cost_blocks,
    headline,
    word_certificate,
    word_statistics,
)
from onnxsplit.reporting.training_stages_report import training_blocks
from onnxsplit.reporting.wording import printable, word_bytes
from onnxsplit.stage_entries import StageEntry

MOST_PORTS = 3
"""Inputs or outputs of a stage that the page names; the manifest names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReport:
    """What was cut, for people and for programs.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    plan : Plan
    parity : ParityResult or None
        None if it was not asked for.
    """

    folder: Path
    manifest: Manifest
    plan: Plan
    parity: ParityResult | None

    def page(self) -> Page:
        """Lay out where the model was cut and why, the proof, and the files."""
        return (
            *headline(self.plan),
            *cost_blocks(self.plan),
            *mix_blocks(self.plan.mix, self.plan.predicted.total_seconds),
            *data_blocks(self.plan.data),
            *outlook_blocks(self.plan),
            Sentence(text=word_certificate(self.plan), tone="quiet"),
            Sentence(text=word_statistics(self.plan), tone="quiet"),
            *self._parity_blocks(),
            *cuts_blocks(self.manifest.cuts, self.plan),
            self._files_table(),
            *training_blocks(self.manifest.training),
            *self._carving_blocks(),
            *assumption_blocks(self.plan),
        )

    def document(self) -> dict[str, Any]:
        """Return the manifest with the folder and the whole parity evidence."""
        return {
            **self.manifest.to_json(),
            "directory": str(self.folder),
            "parity": None if self.parity is None else self.parity.to_json(),
        }

    def _parity_blocks(self) -> tuple[Block, ...]:
        """Say that the stages equal the whole; show all when they do not."""
        if self.parity is None:
            return (Sentence(text="Parity was not checked.", tone="warning"),)
        if not self.parity.passed:
            return describe_parity(self.parity)
        notes = tuple(Sentence(text=note) for note in self.parity.notes)
        return (summarise_parity(self.parity), *notes)

    def _files_table(self) -> Table:
        """List what was written."""
        stages = list(self.manifest.stages)
        stages += [s for cut in self.manifest.cuts for s in cut.stages if s not in stages]
        rows = [row for stage in stages for row in self._file_rows(stage)]
        data = dict.fromkeys(name for stage in stages for name in stage.data_files)
        shared = [name for name in data if self.manifest.cuts]
        return Table(
            title=f"Wrote {printable(str(self.folder))}",
            columns=(
                Column(title="file"),
                Column(title="runs on"),
                Column(title="operators", alignment="right"),
                Column(title="weights", alignment="right"),
                Column(title="needs", alignment="right"),
                Column(title="takes", is_name=True),
                Column(title="gives", is_name=True),
            ),
            rows=(*rows, *((name, *[""] * 6) for name in (*shared, MANIFEST_FILE))),
        )

    @staticmethod
    def _file_rows(stage: StageEntry) -> Iterator[tuple[str, ...]]:
        """Lay out one stage's file, and those that its target reads in its place."""
        yield (
            stage.file,
            stage.tier,
            str(stage.operators),
            word_bytes(stage.weight_bytes),
            word_bytes(stage.peak_bytes),
            _word_ports(stage.inputs),
            _word_ports(stage.outputs),
        )
        if stage.lowered is not None:
            lowered = stage.lowered
            what = f"opset {lowered.opset}, {lowered.precision}"
            yield (lowered.file, stage.tier, "", "", "", f"the same, {what}", "the same")
            yield from ((name, *[""] * 6) for name in lowered.files)

    def _carving_blocks(self) -> tuple[Bullets, ...]:
        """List what carving changed, beyond distributing the operators."""
        notes = tuple(self.manifest.carving.get("notes", ()))
        return (Bullets(title="Carving", items=notes),) if notes else ()


def _word_ports(ports: tuple[TensorSpec, ...]) -> str:
    """Name a stage's inputs or outputs, the first few of many."""
    names = [spec.name for spec in ports]
    further = len(names) - MOST_PORTS
    shown = ", ".join(names[:MOST_PORTS] if further > 1 else names)
    return f"{shown} and {further} more" if further > 1 else shown
