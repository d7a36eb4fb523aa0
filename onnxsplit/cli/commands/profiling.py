"""``onnxsplit profile``."""

from pathlib import Path
from typing import Any

import typer

from onnxsplit.cli import options, profiling_options, recipes, runtime_options, training_options
from onnxsplit.cli.arguments import parse_dims, parse_provider_options, parse_shapes
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal
from onnxsplit.errors import UsageError


def profile(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    model: profiling_options.ModelToProfile = None,
    *,
    output: profiling_options.OutputProfile = None,
    stages: profiling_options.Stages = None,
    shape: options.Shapes = None,
    dim: options.Dims = None,
    inputs: options.Inputs = None,
    tier: profiling_options.Tier = None,
    budget: options.Budget = options.DEFAULT_BUDGET,
    idle_gap: profiling_options.IdleGap = None,
    memory: profiling_options.Memory = None,
    trace: profiling_options.Trace = None,
    optimized: profiling_options.Optimized = None,
    training: training_options.ProfileTraining = False,
    loss: training_options.Loss = None,
    optimizer: training_options.Optimizer = None,
    norms: training_options.Norms = None,
    threads: options.Threads = None,
    provider: options.Provider = None,
    runtime: runtime_options.Runtime = None,
    provider_option: profiling_options.ProviderOptions = None,
    no_cache: options.NoCache = False,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure what each operator of a model costs on this machine.

    Run it on each target; the file is what `plan` and `cut` take as --device and --server.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    if stages is not None:
        _refuse_with_stages(
            model=model,
            shape=shape,
            dim=dim,
            inputs=inputs,
            idle_gap=idle_gap,
            memory=memory,
            trace=trace,
            optimized=optimized,
            training=training,
        )
        _time_stages(
            terminal,
            stages,
            output,
            tier=tier,
            budget=budget,
            threads=threads,
            provider=provider,
            runtime=None if runtime is None else runtime.value,
            provider_options=parse_provider_options(provider_option),
        )
        return
    if model is None:
        raise UsageError("Give the MODEL to profile, or --stages and a bundle's folder.")
    with terminal.working() as progress:
        from onnxsplit.workflows import profiling  # noqa: PLC0415 - help must not load it

        measured = profiling.profile(
            model,
            output,
            shapes=parse_shapes(shape),
            dims=parse_dims(dim),
            inputs=inputs,
            tier=tier or "device",
            threads=threads,
            provider=provider,
            runtime="onnxruntime" if runtime is None else runtime.value,
            provider_options=parse_provider_options(provider_option),
            cache=not no_cache,
            budget=budget,
            idle_gap=idle_gap,
            memory=memory,
            trace=trace,
            optimized=optimized,
            training=recipes.read_measured(
                is_wanted=training, loss=loss, optimizer=optimizer, norms=norms
            ),
            progress=progress,
        )
    from onnxsplit.reporting.profile_report import describe_profile  # noqa: PLC0415 - likewise

    terminal.show(describe_profile(measured, model=model, output=output), measured.to_json())


def _time_stages(terminal: Terminal, folder: Path, output: Path | None, **settings: Any) -> None:  # noqa: ANN401 - options of several types
    """Time a bundle's stages."""
    with terminal.working() as progress:
        from onnxsplit.workflows import stage_times  # noqa: PLC0415 - help must not load it

        timings = stage_times.time_stages(folder, output, **settings, progress=progress)
    from onnxsplit.reporting.stages_report import describe_timings  # noqa: PLC0415 - likewise

    terminal.show(describe_timings(timings, folder=folder, output=output), timings.to_json())


def _refuse_with_stages(**others: object) -> None:
    """Refuse what speaks of a model beside a bundle, which says it all."""
    for name, value in others.items():
        if value:
            flag = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} does not go with --stages: a bundle knows its model and its sizes."
            )
