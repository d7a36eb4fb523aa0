"""``simulate``: policies over a dynamic edge network."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UsageError
from onnxsplit.planning.costs.question import DataPlaces
from onnxsplit.profiles import Profile
from onnxsplit.profiling.storage import write_bytes, write_parts, write_text
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.reporting.charts import chart_simulation
from onnxsplit.reporting.charts_png import check_matplotlib, draw_png
from onnxsplit.reporting.charts_svg import draw_svg
from onnxsplit.reporting.simulation_csv import write_rows
from onnxsplit.simulation.course import run_scenario
from onnxsplit.simulation.fleets import list_machines, scale_profile
from onnxsplit.simulation.results import SimulationResult
from onnxsplit.simulation.scenario_files import read_scenario
from onnxsplit.simulation.scenarios import Scenario
from onnxsplit.tiers import DEVICE, SERVER
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.costing import measure_here
from onnxsplit.workflows.data_places import DataOptions, read_places
from onnxsplit.workflows.preparation import (
    InputOptions,
    PreparedModel,
    prepare_by_running,
    prepare_from_profiles,
)
from onnxsplit.workflows.targets import LocalTier, read_tier

PathLike = str | os.PathLike[str]


def simulate(
    scenario: PathLike | Scenario,
    *,
    seeds: int | None = None,
    overrides: Sequence[str] = (),
    csv: PathLike | None = None,
    plot: PathLike | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> SimulationResult:
    """Simulate training or inference over a dynamic edge network, ours against the baselines.

    Parameters
    ----------
    scenario : path or Scenario
        A TOML file (``onnxsplit.scenario/1``), or what it says.
    seeds : int, optional
        How many, in the place of the scenario's.
    overrides : sequence of str
        ``KEY=VALUE``, such as ``channel.band=n257``; of a file alone.
    csv : path, optional
        Where to write a row for every decision.
    plot : path, optional
        Where to draw the result: an ``.svg`` or a ``.png`` file.
    cache : bool
        Whether earlier measurements of this machine may serve.
    progress : Progress, optional

    Returns
    -------
    SimulationResult

    Raises
    ------
    UsageError
        The scenario is wrong (the message names line and key), or the plot has another ending.
    OutputError
        A file can't be written.
    OnnxSplitError
        The model or a profile can't be used, or a dim has no size.
    """
    progress = progress or SilentProgress()
    _check_plot(plot, csv)
    asked = _read(scenario, overrides, seeds)
    prepared, base = _prepare(asked, progress, cache=cache)
    profiles = {
        machine.name: scale_profile(
            base[machine.profile or asked.model.profile], machine, asked.model
        )
        for machine in list_machines(asked)
    }
    result = run_scenario(asked, prepared.graph, profiles, _find_places(prepared), progress)
    if csv is not None:
        write_parts(write_rows(result), Path(csv), "table")
    if plot is not None:
        _draw(result, Path(plot))
    return result


def _read(scenario: PathLike | Scenario, overrides: Sequence[str], seeds: int | None) -> Scenario:
    """Read the scenario, and take other seeds."""
    if not isinstance(scenario, Scenario):
        scenario = read_scenario(Path(scenario), overrides)
    elif overrides:
        raise UsageError("Overrides replace keys of a scenario file; change the scenario itself.")
    if seeds is None:
        return scenario
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: a simulation needs at least one.")
    first = scenario.seeds[0]
    return replace(scenario, seeds=tuple(range(first, first + seeds)))


def _prepare(
    scenario: Scenario, progress: Progress, *, cache: bool
) -> tuple[PreparedModel, dict[str, Profile]]:
    """Read the model and every profile that is named; measure this machine at most once."""
    spec = scenario.model
    names = {machine.profile or spec.profile for machine in list_machines(scenario)}
    sources = {name: read_tier(name, DEVICE, flag="profile ") for name in sorted(names)}
    given = {name: source for name, source in sources.items() if isinstance(source, Profile)}
    engine = EngineOptions(threads=spec.threads or 0)
    prepare = prepare_from_profiles if len(given) == len(sources) else prepare_by_running
    options = InputOptions(shapes=spec.shapes, dims=spec.dims)
    try:
        prepared = prepare(spec.file, options, engine, progress, profiles=list(given.values()))
    except UsageError as error:  # it speaks of --dim and --shape
        raise UsageError(
            f"The scenario's model.dims or model.shapes do not fit: {error}"
        ) from error
    if any(isinstance(source, LocalTier) for source in sources.values()):
        measuring = MeasuringOptions(engine=engine, cache=cache)
        given["local"] = measure_here(prepared, DEVICE, measuring, progress)
    return prepared, given


def _find_places(prepared: PreparedModel) -> DataPlaces:
    """Find where the model's data lives: on the device, but for a decoder's cache."""
    return read_places(DataOptions(), prepared.graph, (DEVICE, SERVER))


def _check_plot(plot: PathLike | None, csv: PathLike | None) -> None:
    """Refuse what can't be drawn before anything is computed."""
    if plot is None:
        return
    if csv is not None and Path(csv).resolve() == Path(plot).resolve():
        raise UsageError(f"--csv and --plot are both {os.fspath(plot)}; give a file to each.")
    if Path(plot).suffix not in {".svg", ".png"}:
        raise UsageError(f"--plot {os.fspath(plot)}: give a file that ends in .svg or .png.")
    if Path(plot).suffix == ".png":
        check_matplotlib()


def _draw(result: SimulationResult, path: Path) -> None:
    """Draw the result."""
    charts = chart_simulation(result)
    if path.suffix == ".svg":
        write_text(draw_svg(charts), path, "drawing")
    else:
        write_bytes(draw_png(charts), path, "drawing")
