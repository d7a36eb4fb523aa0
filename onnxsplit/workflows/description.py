"""What a manifest says of written stages, and the proof that they equal the whole."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ParityError
from onnxsplit.evidence import ParityResult
from onnxsplit.graph import OperatorGraph
from onnxsplit.manifest import Manifest
from onnxsplit.model.sizes import read_declared_specs
from onnxsplit.model.stages import Carving
from onnxsplit.parity.verification import (
    DriftBudget,
    RunnableModel,
    find_random_outputs,
    holds_float16,
    verify_stages,
)
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.memory import measure_peaks
from onnxsplit.progress import Progress
from onnxsplit.stage_entries import StageEntry, spec_to_json
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.lowering import LoweringOptions, write_lowered
from onnxsplit.workflows.narrowed_bundles import list_wires, plan_budget
from onnxsplit.workflows.preparation import PreparedModel


@dataclass(slots=True, kw_only=True)
class BundleDescription:
    """Verifies written stages and describes them in a manifest.

    Parameters
    ----------
    grounds : Grounds
    graphs : list of OperatorGraph
        At every shape that is planned for.
    plan : Plan
    carving : Carving
    engine : EngineOptions or None
        None if the stages are not to be verified.
    progress : Progress
    lowering : LoweringOptions
        What the first tier reads.
    parity : ParityResult or None
        Filled by `write`.
    """

    grounds: Grounds
    graphs: list[OperatorGraph]
    plan: Plan
    carving: Carving
    engine: EngineOptions | None
    progress: Progress
    lowering: LoweringOptions = field(default_factory=LoweringOptions)
    parity: ParityResult | None = None

    def write(self, folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        """Describe the stages whose files lie in a folder.

        Raises
        ------
        ParityError
            They differ from the whole model.
        """
        entries = self._lower(folder, entries)
        if self.engine is not None:
            self.parity = self.verify(self.engine, folder, entries)
        profiles = self.grounds.profiles
        peaks = measure_peaks(self.graphs, self.plan.placement)
        return Manifest(
            model=describe_model(self.grounds.prepared),
            stages=tuple(
                replace(
                    entry,
                    state_bytes=self.plan.data.sum_state_bytes(entry.tier),
                    threads=profiles[entry.tier].environment.get("threads"),
                    peak_bytes=peaks[entry.tier],
                    runtime=self.grounds.engines[entry.tier].runtime,
                )
                for entry in entries
            ),
            yields=self.carving.yields,
            crossings=tuple(crossing.to_json() for crossing in self.plan.crossings),
            plan=self.plan.to_json(),
            parity=None if self.parity is None else self.parity.to_manifest(),
            carving=self.carving.report.to_json(),
            wires=list_wires(self.carving),
        )

    def verify(
        self, engine: EngineOptions, folder: Path, entries: tuple[StageEntry, ...]
    ) -> ParityResult:
        """Run the written stages against the whole model."""
        prepared = self.grounds.prepared
        result = verify_stages(
            RunnableModel(
                content=prepared.model.proto.SerializeToString(),
                base_folder=prepared.model.base_folder,
            ),
            [
                RunnableModel(
                    content=folder / entry.runnable_file,
                    engine=self.grounds.engines[entry.tier],
                    rounding=entry.rounding,
                )
                for entry in entries
            ],
            prepared.batches,
            options=engine,
            source=prepared.source,
            random_outputs=find_random_outputs(prepared.graph),
            rounds_inside=holds_float16(prepared.graph),
            drift=self._budget_drift(),
            progress=self.progress,
        )
        for output in result.outputs:
            if not output.passed:
                raise ParityError(
                    f"The stages differ from the whole model in output {output.output!r}:"
                    f" {output.problem}. Nothing was written; --no-verify writes them all the same."
                )
        return result

    def _lower(self, folder: Path, entries: tuple[StageEntry, ...]) -> tuple[StageEntry, ...]:
        """Write the first tier's stage as that tier reads it, where that was asked for."""
        first = self.grounds.topology.tiers[0]
        if not self.lowering.changes or entries[0].tier != first:
            return entries
        self.lowering.check(self.grounds.engines[first].runtime)
        self.progress.report("lowering")
        stage = next(stage for stage in self.carving.stages if stage.tier == first)
        lowered = write_lowered(stage, folder, Path(entries[0].file).stem, self.lowering)
        return (replace(entries[0], lowered=lowered), *entries[1:])

    def _budget_drift(self) -> DriftBudget | None:
        """Return how far outputs may drift, where crossings travel narrower."""
        boundary = self.plan.boundary
        if boundary is None:
            return None
        wires = {entry["tensor"]: entry["wire"] for entry in boundary.wires}
        graph = self.grounds.prepared.graph
        return plan_budget(graph, self.plan.placement, wires, boundary.max_drift)


def describe_model(prepared: PreparedModel) -> dict[str, Any]:
    """Describe a model in a manifest: hashes, declared inputs and outputs, and the sizes used."""
    graph = prepared.graph
    declared = read_declared_specs(prepared.model)
    return {
        "sha256": graph.identity.sha256,
        "structure": graph.identity.structure,
        "inputs": [spec_to_json(declared[name]) for name in graph.inputs],
        "outputs": [spec_to_json(declared[name]) for name in graph.outputs],
        "sizes": {
            name: list(prepared.tensors[name].shape or ())
            for name in graph.inputs
            if prepared.tensors[name].kind == "tensor"
        },
    }
