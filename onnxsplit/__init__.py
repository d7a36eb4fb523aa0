"""onnxsplit: cut an ONNX model where it is provably best, into halves that run.

Everything that the command line does is one call here. Importing the package loads none of the
heavy packages; they come with the first call.

Examples
--------
>>> import onnxsplit as osp
>>> osp.Link.parse("20 Mbit/s", rtt="15 ms").describe()
'up 20 Mbit/s, down 20 Mbit/s, round trip 15 ms'
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsplit.autodiff.halves.recipe import Optimizer as Optimizer
    from onnxsplit.autodiff.halves.recipe import Recipe as Recipe
    from onnxsplit.errors import InternalError as InternalError
    from onnxsplit.errors import OnnxSplitError as OnnxSplitError
    from onnxsplit.evidence import ParityResult as ParityResult
    from onnxsplit.evidence import StageTimings as StageTimings
    from onnxsplit.frontiers import Frontier as Frontier
    from onnxsplit.manifest import Manifest as Manifest
    from onnxsplit.objectives import TrainingDelay as TrainingDelay
    from onnxsplit.placement import Placement as Placement
    from onnxsplit.planned import Plan as Plan
    from onnxsplit.planning.inspection import Inspection as Inspection
    from onnxsplit.profiles import Profile as Profile
    from onnxsplit.runtime.client_security import ClientSecurity as ClientSecurity
    from onnxsplit.runtime.device_half import DeviceHalf as DeviceHalf
    from onnxsplit.runtime.pipeline import run_pipelined as run_pipelined
    from onnxsplit.runtime.run_traces import RunResult as RunResult
    from onnxsplit.simulation.results import SimulationResult as SimulationResult
    from onnxsplit.tiers import Link as Link
    from onnxsplit.training.results import TrainingResult as TrainingResult
    from onnxsplit.workflows.connecting import connect as connect
    from onnxsplit.workflows.cutting import Bundle as Bundle
    from onnxsplit.workflows.cutting import cut as cut
    from onnxsplit.workflows.exports import Export as Export
    from onnxsplit.workflows.exports import export as export
    from onnxsplit.workflows.flower_apps import make_client_app as make_client_app
    from onnxsplit.workflows.flower_apps import make_server_app as make_server_app
    from onnxsplit.workflows.frontiers import frontier as frontier
    from onnxsplit.workflows.hosting import host as host
    from onnxsplit.workflows.inspection import inspect as inspect
    from onnxsplit.workflows.merging import merge as merge
    from onnxsplit.workflows.planning import plan as plan
    from onnxsplit.workflows.probing import ProbedLink as ProbedLink
    from onnxsplit.workflows.probing import probe as probe
    from onnxsplit.workflows.profiling import profile as profile
    from onnxsplit.workflows.serving import serve as serve
    from onnxsplit.workflows.simulating import simulate as simulate
    from onnxsplit.workflows.stage_times import time_stages as time_stages
    from onnxsplit.workflows.training import train as train
    from onnxsplit.workflows.training_servers import TrainingServer as TrainingServer
    from onnxsplit.workflows.verification import verify as verify

_HOMES = {
    "Bundle": "workflows.cutting",
    "ClientSecurity": "runtime.client_security",
    "DeviceHalf": "runtime.device_half",
    "Export": "workflows.exports",
    "Frontier": "frontiers",
    "Inspection": "planning.inspection",
    "InternalError": "errors",
    "Link": "tiers",
    "Manifest": "manifest",
    "OnnxSplitError": "errors",
    "Optimizer": "autodiff.halves.recipe",
    "ParityResult": "evidence",
    "SimulationResult": "simulation.results",
    "StageTimings": "evidence",
    "Placement": "placement",
    "Plan": "planned",
    "Profile": "profiles",
    "Recipe": "autodiff.halves.recipe",
    "RunResult": "runtime.run_traces",
    "TrainingDelay": "objectives",
    "TrainingResult": "training.results",
    "TrainingServer": "workflows.training_servers",
    "connect": "workflows.connecting",
    "cut": "workflows.cutting",
    "export": "workflows.exports",
    "frontier": "workflows.frontiers",
    "host": "workflows.hosting",
    "inspect": "workflows.inspection",
    "make_client_app": "workflows.flower_apps",
    "make_server_app": "workflows.flower_apps",
    "merge": "workflows.merging",
    "plan": "workflows.planning",
    "ProbedLink": "workflows.probing",
    "probe": "workflows.probing",
    "run_pipelined": "runtime.pipeline",
    "profile": "workflows.profiling",
    "serve": "workflows.serving",
    "simulate": "workflows.simulating",
    "time_stages": "workflows.stage_times",
    "train": "workflows.training",
    "verify": "workflows.verification",
}

__all__ = [
    "Bundle",
    "Export",
    "Frontier",
    "Inspection",
    "InternalError",
    "Link",
    "Manifest",
    "OnnxSplitError",
    "Optimizer",
    "ParityResult",
    "Placement",
    "Plan",
    "ProbedLink",
    "Profile",
    "Recipe",
    "RunResult",
    "SimulationResult",
    "StageTimings",
    "TrainingDelay",
    "TrainingResult",
    "TrainingServer",
    "connect",
    "cut",
    "export",
    "frontier",
    "host",
    "inspect",
    "make_client_app",
    "make_server_app",
    "merge",
    "plan",
    "probe",
    "profile",
    "run_pipelined",
    "serve",
    "simulate",
    "time_stages",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
