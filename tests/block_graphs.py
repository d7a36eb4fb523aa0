"""Random graphs made of blocks, with everything that must keep a block from being contracted."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.planning.costs.question import DataPlaces
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from tests.hand_prices import Asked, dress
from tests.random_graphs import RATES, Case, tilt

SIZES = (0, 4, 8, 8, 16, 16, 24, 40)


def draw_blocks(rng: random.Random, kind: str) -> Asked:
    """Draw a chain of blocks of parallel branches, dressed as a kind of question."""
    sketch = _Sketch(rng)
    for _ in range(rng.randint(1, 3)):
        sketch.add_block()
    graph = sketch.finish()
    profiles = {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(operators=(op.name,), seconds=rng.randint(0, most) / 1000)
                for op in graph
            ),
        )
        for tier, most in (("device", rng.choice([4, 12, 30])), ("server", rng.choice([1, 6])))
    }
    link = Link(
        up_bytes_per_second=rng.choice(RATES),
        down_bytes_per_second=rng.choice(RATES),
        round_trip_seconds=rng.choice([0.0, 0.002]),
    )
    case = Case(graph=graph, profiles=profiles, topology=Topology.pair(link))
    if rng.random() < 0.7:
        case = tilt(case)
    asked = Asked(case=case, names=("device", "server"), profiles=case.profiles, links=(link,))
    return dress(rng, asked, kind)


class _Sketch:
    """A graph while it grows."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.inputs = ["x", "y"] if rng.random() < 0.3 else ["x"]
        self.sizes = {name: rng.choice(SIZES) * 3 for name in self.inputs}
        self.operators: list[Operator] = []
        self.outputs: set[str] = set()
        # What reads the second input alone feeds blocks from outside if that is at the server.
        self.side = self.add(["y"]) if "y" in self.inputs and rng.random() < 0.6 else None
        self.entry = "x" if rng.random() < 0.2 else self.add(self.inputs)

    def add(self, reads: list[str]) -> str:
        """Add an operator; return its first output."""
        index = len(self.operators)
        makes = [f"t{index}"] + ([f"u{index}"] if self.rng.random() < 0.1 else [])
        self.sizes |= {name: self.rng.choice(SIZES) for name in makes}
        self.operators.append(
            Operator(
                name=f"op{index}",
                op_type="Conv",
                domain="",
                index=index,
                inputs=tuple(dict.fromkeys(reads)),
                outputs=tuple(makes),
            )
        )
        return makes[0]

    def add_block(self) -> None:
        """Add parallel branches and what joins them."""
        rng, ends = self.rng, []
        for _ in range(rng.randint(1, 3)):
            at = self.entry
            for _ in range(rng.randint(1, 2)):
                reads = [at]
                if self.side is not None and rng.random() < 0.25:
                    reads.append(self.side)
                if rng.random() < 0.06:
                    reads.append(rng.choice(list(self.sizes)))
                at = self.add([] if rng.random() < 0.03 else reads)
                if rng.random() < 0.08:
                    self.outputs.add(at)
            ends.append(at)
        if rng.random() < 0.4:
            ends.append(self.entry)
        self.entry = self.add(ends)

    def finish(self) -> OperatorGraph:
        """Return the graph; what nothing reads may be an output."""
        self.outputs.add(self.entry)
        return OperatorGraph(
            identity=ModelIdentity(),
            operators=tuple(self.operators),
            tensors={
                name: TensorSpec(name=name, dtype="uint8", shape=(size,))
                for name, size in self.sizes.items()
            },
            inputs=tuple(self.inputs),
            outputs=tuple(sorted(self.outputs)),
        )


def draw_ties(rng: random.Random, kind: str) -> Asked:
    """Draw a chain whose middle costs nothing to move but turns two crossings into one."""
    return _make(
        draw_blocks(rng, kind),
        steps=((("x",), ("a", "b", "e")), (("a", "b"), ("c",)), (("c", "e"), ("d",))),
        sizes={"x": 400, "a": 4, "b": 4, "c": 8, "e": 0, "d": 1},
        device_seconds=(0.001, 0.004, 0.9),
        server_seconds=(0.001, 0.004, 0.001),
    )


def draw_outside(rng: random.Random, kind: str) -> Asked:
    """Draw a block that reads what an input at the server makes, best on the device."""
    asked = _make(
        draw_blocks(rng, kind),
        steps=(
            (("y",), ("s",)),
            (("x",), ("a", "b")),
            (("a", "s"), ("m",)),
            (("b",), ("n",)),
            (("m", "n"), ("d",)),
        ),
        sizes={"y": 1, "x": 9000, "s": 4000, "a": 4, "b": 4, "m": 8, "n": 8, "d": 1},
        device_seconds=(0.001, 0.001, 0.002, 0.002, 0.9),
        server_seconds=(3.0, 0.001, 0.001, 0.001, 0.001),
    )
    return replace(asked, places=DataPlaces(inputs_at_last=frozenset({"y"})))


def _make(
    asked: Asked,
    *,
    steps: Sequence[tuple[tuple[str, ...], tuple[str, ...]]],
    sizes: Mapping[str, int],
    device_seconds: Sequence[float],
    server_seconds: Sequence[float],
) -> Asked:
    """Put a graph in the place of a case's own; its link stays."""
    made = {name for _, makes in steps for name in makes}
    graph = OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(
            Operator(
                name=f"op{place}",
                op_type="Conv",
                domain="",
                index=place,
                inputs=reads,
                outputs=makes,
            )
            for place, (reads, makes) in enumerate(steps)
        ),
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(size,))
            for name, size in sizes.items()
        },
        inputs=tuple(name for name in sizes if name not in made),
        outputs=(steps[-1][1][0],),
    )
    profiles = {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(operators=(f"op{place}",), seconds=each)
                for place, each in enumerate(row)
            ),
        )
        for tier, row in (("device", device_seconds), ("server", server_seconds))
    }
    case = Case(graph=graph, profiles=profiles, topology=asked.case.topology)
    return Asked(case=case, names=asked.names, profiles=profiles, links=asked.links)
