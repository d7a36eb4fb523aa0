"""Split training scheduled by Flower: one message is a client's part of a round.

The server's half learns behind `serve --training`, which each client asks for itself, step by
step; through Flower travel the devices' halves, once for each client and round, and figures. The
result is bit for bit that of `onnxsplit.train` with the same clients, scheme and seed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.errors import TransportError, UsageError
from onnxsplit.model.bundle import StoredBundle, check_files, name_bundle, read_bundle
from onnxsplit.progress import SilentProgress
from onnxsplit.runtime.transports import choose_transport
from onnxsplit.training.flower_records import (
    DEVICE_STATE,
    FIGURES,
    MEMORY,
    ORDER,
    FlowerSettings,
    read_state,
    require_flower,
    write_state,
)
from onnxsplit.training.loop import Course, Standing, run_course
from onnxsplit.training.reading import open_data
from onnxsplit.training.remote import RemoteServer
from onnxsplit.training.rounds import average, order_clients
from onnxsplit.training.schedules import RateSchedule
from onnxsplit.training.section import TrainingSection, read_section
from onnxsplit.training.storage import load_state
from onnxsplit.workflows.connecting import read_security
from onnxsplit.workflows.trained import write_trained

_POLL_SECONDS = 1.0


def make_client_app() -> Any:  # noqa: ANN401 - an app of an extra
    """Return the ``ClientApp`` that trains a device's half on its node's data.

    Raises
    ------
    UsageError
        The extra is not installed.
    """
    require_flower()
    from flwr.clientapp import ClientApp  # noqa: PLC0415 - an extra

    app = ClientApp()
    app.query()(answer_query)
    app.train()(train_client)
    return app


def make_server_app() -> Any:  # noqa: ANN401 - an app of an extra
    """Return the ``ServerApp`` that leads the rounds and writes what was learnt."""
    require_flower()
    from flwr.serverapp import ServerApp  # noqa: PLC0415 - an extra

    app = ServerApp()
    app.main()(lead_rounds)
    return app


def answer_query(message: Any, context: Any) -> Any:  # noqa: ANN401 - messages of an extra
    """Tell which client a node is."""
    flower = require_flower()
    figures = flower.MetricRecord({"client": find_client(context)})
    return flower.Message(content=flower.RecordDict({FIGURES: figures}), reply_to=message)


def train_client(message: Any, context: Any) -> Any:  # noqa: ANN401 - messages of an extra
    """Learn for one round, and send the device's half back."""
    flower = require_flower()
    settings = FlowerSettings.read(context.run_config)
    order = message.content[ORDER]
    client = find_client(context)
    trainer = _Trainer.open(settings)
    data = open_data(
        _find_data(settings, context, client),
        trainer.section.ports,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )
    standing = Standing(step=int(order["step"]), epoch=int(order["epoch"]))
    course = Course(
        data=data,
        evaluation=None,
        schedule=RateSchedule(rate=settings.learning_rate),
        epochs=standing.epoch + settings.local_epochs - 1,
    )
    with ExitStack() as stack:
        half = stack.enter_context(trainer.reach(_name_half(settings, client)))
        device = trainer.section.open_device(trainer.bundle.folder, trainer.options)
        stack.callback(device.close)
        device.write_state(read_state(message.content[DEVICE_STATE]))
        epochs = list(run_course(device, half, course, standing, lambda _standing, _figures: None))
        state = device.read_state()
    score = epochs[-1].score
    figures = {"step": standing.step, "examples": sum(epoch.score.rows for epoch in epochs)}
    scores = {"loss": score.loss} | ({} if score.accuracy is None else {"accuracy": score.accuracy})
    _remember(context, epochs=standing.epoch - 1, steps=sum(epoch.steps for epoch in epochs))
    content = flower.RecordDict(
        {DEVICE_STATE: write_state(state), FIGURES: flower.MetricRecord({**figures, **scores})}
    )
    return flower.Message(content=content, reply_to=message)


def lead_rounds(grid: Any, context: Any) -> None:  # noqa: ANN401 - a grid of an extra
    """Lead all rounds, and write the trained bundle.

    Raises
    ------
    TransportError
        A client failed or did not answer, or the server of the halves can't be reached.
    UsageError
        The configuration makes no sense.
    OnnxSplitError
        As of `onnxsplit.workflows.trained.write_trained`.
    """
    settings = FlowerSettings.read(context.run_config)
    trainer = _Trainer.open(settings)
    check_files(trainer.bundle.folder, trainer.bundle.manifest)
    with trainer.reach("") as shared:
        if shared.count_steps():
            raise UsageError(
                f"The server's half at {settings.server} has learnt already; start the server anew."
            )
        rounds = _Rounds(grid, settings, trainer, shared)
        for epoch in range(1, settings.rounds + 1):
            rounds.lead(1 + (epoch - 1) * settings.local_epochs)
        rounds.end()
        write_trained(
            trainer.bundle,
            trainer.section,
            {**rounds.state, **shared.read_state()},
            settings.output,
            trainer.options,
            SilentProgress(),
            steps=rounds.step,
            force=True,
        )


def find_client(context: Any) -> int:  # noqa: ANN401 - a context of an extra
    """Return which client a node is: ``client`` or ``partition-id`` of its configuration.

    Raises
    ------
    UsageError
        It has neither.
    """
    for key in ("client", "partition-id"):
        if key in context.node_config:
            return int(context.node_config[key])
    raise UsageError(
        'The node does not say which client it is; start it with --node-config "client=0".'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trainer:
    """A bundle that is trained, and where its server's half is."""

    settings: FlowerSettings
    bundle: StoredBundle
    section: TrainingSection
    options: EngineOptions

    @classmethod
    def open(cls, settings: FlowerSettings) -> "_Trainer":
        """Read the bundle."""
        bundle = read_bundle(settings.bundle)
        return cls(
            settings=settings,
            bundle=bundle,
            section=read_section(bundle.folder, bundle.manifest),
            options=EngineOptions(threads=settings.threads),
        )

    @contextmanager
    def reach(self, half: str) -> Iterator[RemoteServer]:
        """Reach the server's half of a client, or the one that all share."""
        settings = self.settings
        security = read_security(
            authorities=settings.authorities,
            certificate=None,
            key=None,
            token_file=settings.token_file,
        )
        transport = choose_transport(settings.server, security)()
        name = settings.name or name_bundle(self.bundle.folder)
        server = RemoteServer(transport, name, client=half, timeout_seconds=60.0)
        try:
            server.shake_hands(self.section)
            yield server
        finally:
            server.close()


class _Rounds:
    """The rounds of a run, as the ``ServerApp`` leads them."""

    def __init__(
        self,
        grid: Any,  # noqa: ANN401 - a grid of an extra
        settings: FlowerSettings,
        trainer: _Trainer,
        shared: RemoteServer,
    ) -> None:
        section = trainer.section
        self.state: dict[str, Array] = load_state(
            trainer.bundle.folder / section.states[section.tiers[0]]
        )
        self.step = 0
        self._grid = grid
        self._settings = settings
        self._trainer = trainer
        self._shared = shared
        self._nodes = self._find_nodes()

    def lead(self, epoch: int) -> None:
        """Let every client learn, and bring their halves together."""
        settings = self._settings
        is_apart = settings.scheme == "splitfed-v1"
        order = order_clients(len(self._nodes), settings.scheme, seed=settings.seed, epoch=epoch)
        clients = list(self._nodes)
        start = self._shared.read_state() if is_apart else {}
        if is_apart:
            for client in clients:
                with self._trainer.reach(_name_half(settings, client)) as half:
                    half.write_state(start, step=self.step)
            replies = self._ask(clients, epoch)
        else:
            replies = []
            for place in order:
                replies += self._ask([clients[place]], epoch)
                self.step = int(replies[-1].content[FIGURES]["step"])
                if settings.scheme == "sequential":
                    self.state = read_state(replies[-1].content[DEVICE_STATE])
        rows = [float(reply.content[FIGURES]["examples"]) for reply in replies]
        self.step = max(int(reply.content[FIGURES]["step"]) for reply in replies)
        if settings.scheme != "sequential":
            states = [read_state(reply.content[DEVICE_STATE]) for reply in replies]
            self.state = average(states, rows)
        if is_apart:
            self._shared.write_state(average(self._read_halves(clients), rows), step=self.step)

    def end(self) -> None:
        """Let go of the clients' own halves."""
        if self._settings.scheme == "splitfed-v1":
            for client in self._nodes:
                with self._trainer.reach(_name_half(self._settings, client)) as half:
                    half.drop()

    def _read_halves(self, clients: Sequence[int]) -> list[dict[str, Array]]:
        """Fetch the state of each client's server half."""
        states = []
        for client in clients:
            with self._trainer.reach(_name_half(self._settings, client)) as half:
                states.append(half.read_state())
        return states

    def _ask(self, clients: Sequence[int], epoch: int) -> list[Any]:
        """Have some clients learn at once, and return their answers in order."""
        flower = require_flower()
        content = {
            DEVICE_STATE: write_state(self.state),
            ORDER: flower.ConfigRecord({"step": self.step, "epoch": epoch}),
        }
        return self._send(clients, "train", content)

    def _send(self, clients: Sequence[int], kind: str, content: Mapping[str, Any]) -> list[Any]:
        """Send a message to some clients; return the answers in their order."""
        nodes = {client: self._nodes[client] for client in clients}
        replies = _exchange(self._grid, list(nodes.values()), kind, content, self._settings)
        return [replies[node] for node in nodes.values()]

    def _find_nodes(self) -> dict[int, int]:
        """Wait for the nodes, and ask which client each is."""
        end = time.monotonic() + self._settings.message_seconds
        while len(nodes := list(self._grid.get_node_ids())) < self._settings.clients:
            if time.monotonic() > end:
                raise TransportError(
                    f"{len(nodes)} nodes are there, and the run waits for"
                    f" {self._settings.clients}; start more, or set 'clients'."
                )
            time.sleep(_POLL_SECONDS)
        replies = _exchange(self._grid, nodes, "query", {}, self._settings)
        found = {int(reply.content[FIGURES]["client"]): node for node, reply in replies.items()}
        if len(found) < len(nodes):
            raise UsageError("Two nodes are the same client; give each a number of its own.")
        return dict(sorted(found.items()))


def _exchange(
    grid: Any,  # noqa: ANN401 - a grid of an extra
    nodes: Sequence[int],
    kind: str,
    content: Mapping[str, Any],
    settings: FlowerSettings,
) -> dict[int, Any]:
    """Send a message to some nodes and wait for all of them.

    Raises
    ------
    TransportError
        A node failed or did not answer in time.
    """
    flower = require_flower()
    messages = [
        flower.Message(
            content=flower.RecordDict(dict(content)), dst_node_id=node, message_type=kind
        )
        for node in nodes
    ]
    replies = {}
    for reply in grid.send_and_receive(messages, timeout=settings.message_seconds):
        node = reply.metadata.src_node_id
        if reply.has_error():
            raise TransportError(f"The node {node} failed: {reply.error.reason}")
        replies[node] = reply
    for node in nodes:
        if node not in replies:
            raise TransportError(
                f"The node {node} did not answer within {settings.message_seconds:g} s."
            )
    return replies


def _name_half(settings: FlowerSettings, client: int) -> str:
    """Return the name of the server's half that a client learns with."""
    return f"client-{client}" if settings.scheme == "splitfed-v1" else ""


def _find_data(settings: FlowerSettings, context: Any, client: int) -> Path:  # noqa: ANN401 - a context of an extra
    """Return where a node's data is."""
    own = context.node_config.get("data")
    return Path(str(own)) if own else settings.data / f"{client}.npz"


def _remember(context: Any, *, epochs: int, steps: int) -> None:  # noqa: ANN401 - a context of an extra
    """Keep on the node how much its client has learnt."""
    flower = require_flower()
    before = context.state[MEMORY]["steps"] if MEMORY in context.state else 0
    context.state[MEMORY] = flower.MetricRecord({"epochs": epochs, "steps": before + steps})
