"""``onnxsplit train``."""

import typer

from onnxsplit.cli import options, recipes, server_options, serving_options, training_options
from onnxsplit.cli.formats import OutputFormat
from onnxsplit.cli.terminal import Terminal


def train(  # noqa: PLR0913 - typer reads one parameter for each option
    context: typer.Context,
    folder: options.Folder,
    *,
    data: training_options.Data,
    evaluation: training_options.Evaluation = None,
    clients: training_options.Clients = 1,
    scheme: training_options.Scheme = training_options.SchemeName.SEQUENTIAL,
    server: training_options.ServerUrl = None,
    served_name: serving_options.ServedName = None,
    client: training_options.Client = "",
    renew_server: training_options.RenewServer = False,
    patience: training_options.Patience = training_options.DEFAULT_PATIENCE,
    message_deadline: training_options.MessageDeadline = training_options.DEFAULT_DEADLINE,
    tls_ca: serving_options.Authorities = None,
    tls_cert: server_options.TlsCertificate = None,
    tls_key: server_options.TlsKey = None,
    token_file: server_options.TokenFile = None,
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
    """Train both halves of a bundle, and write them as a model for inference.

    The bundle comes from `cut --objective training --loss ...`. The server's half runs in this
    process, or behind `serve --training` at --server.
    """
    del config  # read before this runs
    terminal = context.ensure_object(Terminal)
    terminal.settle(output_format, quiet=quiet, debug=debug)
    with terminal.working() as progress:
        from onnxsplit.workflows import training  # noqa: PLC0415 - help must not load it
        from onnxsplit.workflows.connecting import read_security  # noqa: PLC0415 - likewise

        result = training.train(
            folder,
            data[0],
            other_clients=data[1:],
            evaluation=evaluation,
            server=recipes.read_server(
                server,
                name=served_name,
                client=client,
                renew=renew_server,
                patience=patience,
                deadline=message_deadline,
                security=read_security(
                    authorities=tls_ca, certificate=tls_cert, key=tls_key, token_file=token_file
                ),
            ),
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
            clients=clients,
            scheme=scheme.value,
        )
    from onnxsplit.reporting.training_report import describe_training  # noqa: PLC0415 - likewise

    terminal.show(describe_training(result), result.to_json())
