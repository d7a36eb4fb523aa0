"""What the protocol, our client and our server cost on top of a raw socket on this machine.

Every request sends bytes to a model that does nothing with them (the probe) and reads a small
answer.
The servers are processes of their own; their requests and those of the raw socket go in turns, so
that what else the machine does hits all alike.
"""

import argparse
import json
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

import onnxsplit as osp
from onnxsplit.model.probe_model import PAYLOAD, PROBE_NAME, REPLY_SIZE
from onnxsplit.profiles import OperatorGroup
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.transports import choose_transport
from samples.networks import build_reduced

RAW_SERVER = """
import socket, struct
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
room = memoryview(bytearray(2**24))
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while head := connection.recv(4, socket.MSG_WAITALL):
        size, = struct.unpack("<I", head)
        place = 0
        while place < size:
            place += connection.recv_into(room[place:size])
        connection.sendall(bytes(64))
"""

CLIENT = """
import sys, time
import numpy as np
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.transports import choose_transport
url, seconds = sys.argv[1], float(sys.argv[2])
inputs = {"payload": np.zeros(10_000, np.uint8), "n": np.array([1])}
request = InferRequest(model="onnxsplit_probe", inputs=inputs)
with choose_transport(url)() as transport:
    transport.infer(request)
    print("ready", flush=True)
    sys.stdin.readline()
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        transport.infer(request)
        count += 1
    print(count, flush=True)
"""

SIZES = (10_000, 400_000, 4_000_000)
CONNECTIONS = (1, 4, 16)

Call = Callable[[], object]


def main(argv: Sequence[str]) -> None:
    """Measure, and print medians and their distance from the raw socket's."""
    parser = argparse.ArgumentParser(prog="runtime", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests of each kind and size")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each throughput")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="URL",
        help="another server that serves the probe model, such as Triton; repeatable",
    )
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        raw_port = stack.enter_context(_start_raw())
        urls = [*stack.enter_context(_start_ours()), *arguments.beside]
        report = {
            "latency": [_measure_latency(raw_port, urls, n, arguments.rounds) for n in SIZES],
            "throughput": [
                _measure_throughput(url, count, arguments.seconds)
                for url in urls
                for count in CONNECTIONS
            ],
            "rounds": arguments.rounds,
        }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


@contextmanager
def _start_raw() -> Iterator[int]:
    """Start the raw socket's server."""
    with _start([sys.executable, "-c", RAW_SERVER]) as line:
        yield int(line)


@contextmanager
def _start_ours() -> Iterator[list[str]]:
    """Start our server, over HTTP and gRPC."""
    model = build_reduced("lenet")
    groups = tuple(
        OperatorGroup(operators=(node.name,), seconds=0.001) for node in osp.inspect(model).graph
    )
    profile = osp.Profile(tier="any", groups=groups)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "lenet.split"
        osp.cut(model, bundle, device=profile, server=profile, link="wifi", verify=False)
        words = ["serve", str(bundle), "--port", "0", "--grpc-port", "0", "--format", "json"]
        with _start([sys.executable, "-m", "onnxsplit", *words]) as line:
            yield json.loads(line)["urls"]


@contextmanager
def _start(command: Sequence[str]) -> Iterator[str]:
    """Start a server, and read the line that it says when it is ready."""
    process = subprocess.Popen(  # noqa: S603 - fixed commands
        command, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def _measure_latency(
    raw_port: int, urls: Sequence[str], size_bytes: int, rounds: int
) -> dict[str, Any]:
    """Time requests of one size in turns, on warm connections."""
    with ExitStack() as stack:
        calls: dict[str, Call] = {"socket": _open_raw(stack, raw_port, size_bytes)}
        calls |= {_name(url): _open(stack, url, size_bytes) for url in urls}
        for call in calls.values():
            for _ in range(10):
                call()
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    tenths = {name: statistics.quantiles(times, n=10)[0] for name, times in seconds.items()}
    return {
        "bytes": size_bytes,
        "median_seconds": medians,
        "tenth_percentile_seconds": tenths,
        "over_socket_seconds": {name: tenths[name] - tenths["socket"] for name in tenths},
        "ratio_to_socket": {name: tenths[name] / tenths["socket"] for name in tenths},
    }


def _measure_throughput(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Count what so many clients, each a process of its own, get through, 10 kB at a time."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603 - our own words
                    [sys.executable, "-c", CLIENT, url, str(seconds)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(clients)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # it is ready
        outputs = [_release(process) for process in processes]
        counts = [int(output.read()) for output in outputs]
    return {
        "server": _name(url),
        "connections": clients,
        "requests_per_second": sum(counts) / seconds,
    }


def _release(process: subprocess.Popen[str]) -> IO[str]:
    """Let a client begin."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout


def _name(url: str) -> str:
    """Name a server by its scheme, and its port where that is a usual one."""
    port = url.rpartition(":")[2]
    return url.partition(":")[0] + (f":{port}" if port in {"8000", "8001"} else "")


def _open_raw(stack: ExitStack, port: int, size_bytes: int) -> Call:
    """Connect to the raw socket's server."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head, payload = struct.pack("<I", size_bytes), bytes(size_bytes)

    def call() -> object:
        connection.sendall(head)
        connection.sendall(payload)
        return connection.recv(64, socket.MSG_WAITALL)

    return call


def _open(stack: ExitStack, url: str, size_bytes: int) -> Call:
    """Connect to a server of the protocol."""
    transport = stack.enter_context(choose_transport(url)())
    request = InferRequest(
        model=PROBE_NAME,
        inputs={PAYLOAD: np.zeros(size_bytes, np.uint8), REPLY_SIZE: np.array([1], np.int64)},
    )
    return lambda: transport.infer(request, timeout_seconds=60)
