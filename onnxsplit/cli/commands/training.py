"""``onnxsplit train``."""

import typer

from onnxsplit.cli import options, training_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def train(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    folder: options.Folder,
    *,
    data: training_options.Data,
    evaluation: training_options.Evaluation = None,
    epochs: training_options.Epochs = 1,
    steps: training_options.Steps = None,
    batch_size: training_options.BatchSize = None,
    learning_rate: training_options.LearningRate = training_options.DEFAULT_RATE,
    schedule: training_options.Schedule = training_options.ScheduleName.CONSTANT,
    warmup: training_options.Warmup = 0,
    decay_every: training_options.DecayEvery = training_options.DEFAULT_DECAY_EVERY,
    decay_factor: training_options.DecayFactor = training_options.DEFAULT_DECAY_FACTOR,
    no_shuffle: training_options.NoShuffle = False,
    seed: options.Seed = 0,
    checkpoint: training_options.CheckpointFolder = None,
    checkpoint_every: training_options.CheckpointEvery = None,
    resume: training_options.Resume = False,
    output: training_options.TrainedFolder = None,
    force: options.Force = False,
    threads: options.Threads = None,
    provider: options.Provider = None,
    config: options.Config = None,
    output_format: options.Format = OutputFormat.TABLE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train both halves of a bundle in this process, and write them as a model for inference.

    The bundle comes from `cut --objective training --loss ...`.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import training  # noqa: PLC0415 - help must not load it

        result = training.train(
            folder,
            data,
            evaluation=evaluation,
            output=output,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            force=force,
            threads=threads,
            provider=provider,
            progress=progress,
            epochs=epochs,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=schedule.value,
            warmup=warmup,
            decay_every=decay_every,
            decay_factor=decay_factor,
            shuffle=not no_shuffle,
            seed=seed,
        )
    from onnxsplit.reporting.training_report import describe_training  # noqa: PLC0415 - likewise

    terminal.show(describe_training(result), result.to_json())
