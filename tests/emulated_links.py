"""A link between two network namespaces, with rates, delay and outages as a test wants them.

Two TUN devices, one in each namespace, are joined by a process that forwards packets: each waits
for its turn at the rate of its way, then for half the round trip. What would wait for longer than
the queue is dropped, as a router does. It takes root; nothing outside the namespaces is changed.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
DEVICE_ADDRESS, SERVER_ADDRESS = "10.213.77.1", "10.213.77.2"
QUEUE_SECONDS = 0.1
LEAST_QUEUE_BYTES = 64_000
_IP = shutil.which("ip") or "ip"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MOST_PACKET_BYTES = 65536
_PATIENCE_SECONDS = 20.0


def explain_absence() -> str:
    """Say why no link can be emulated here; empty if one can."""
    if os.geteuid() != 0:
        return "emulated links need root"
    if not Path("/dev/net/tun").exists():
        return "emulated links need /dev/net/tun"
    probe = f"osp-probe-{os.getpid()}"
    try:
        _call("netns", "add", probe)
        _call("netns", "del", probe)
    except (OSError, subprocess.CalledProcessError):
        return "emulated links need network namespaces"
    return ""


@dataclass(slots=True)
class _Way:
    """One direction: packets wait for the rate, then for the delay."""

    source: int
    target: int
    bytes_per_second: float = 1e9
    delay_seconds: float = 0.0
    free_seconds: float = 0.0
    packets: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self) -> None:
        """Take what has come, up to some packets."""
        for _ in range(64):
            try:
                packet = os.read(self.source, _MOST_PACKET_BYTES)
            except BlockingIOError:
                return
            now = time.monotonic()
            if not self.bytes_per_second:
                continue  # the link is down
            queue = max(QUEUE_SECONDS, LEAST_QUEUE_BYTES / self.bytes_per_second)
            if self.free_seconds - now > queue:
                continue
            start = max(now, self.free_seconds)
            self.free_seconds = start + len(packet) / self.bytes_per_second
            self.packets.append((self.free_seconds + self.delay_seconds, packet))

    def give(self) -> float | None:
        """Forward what is due; seconds until the next is, or None."""
        while self.packets:
            left = self.packets[0][0] - time.monotonic()
            if left > 0:
                return left
            _, packet = self.packets.popleft()
            with contextlib.suppress(OSError):
                os.write(self.target, packet)
        return None


def _open_tun(name: str) -> int:
    """Make a TUN device."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor


def _call(*words: str) -> None:
    """Run ``ip`` on words that it must not fail on."""
    subprocess.run([_IP, *words], check=True, capture_output=True, timeout=_PATIENCE_SECONDS)  # noqa: S603 - words of our own


def _install(tun: str, space: str, own: str, peer: str) -> None:
    """Move a device into its namespace and give it an address."""
    _call("link", "set", tun, "netns", space)
    for words in (
        ["addr", "add", own, "peer", peer, "dev", tun],
        ["link", "set", tun, "up"],
        ["link", "set", "lo", "up"],
    ):
        _call("-n", space, *words)
    # What most devices use; others take a rest now and then to measure the round trip.
    _call("-n", space, "route", "replace", peer, "dev", tun, "src", own, "congctl", "cubic")


def emulate(device_space: str, server_space: str) -> None:
    """Forward packets until stdin ends; each line of it sets the link anew."""
    number = os.getpid() % 100_000
    names = f"ospa{number}", f"ospb{number}"
    device, server = (_open_tun(name) for name in names)
    _install(names[0], device_space, DEVICE_ADDRESS, SERVER_ADDRESS)
    _install(names[1], server_space, SERVER_ADDRESS, DEVICE_ADDRESS)
    ways = {
        "up": _Way(source=device, target=server),
        "down": _Way(source=server, target=device),
    }
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        waits = [wait for way in ways.values() if (wait := way.give()) is not None]
        ready, _, _ = select.select([device, server, 0], [], [], min(waits, default=None))
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return
            wanted = json.loads(line)
            for name, way in ways.items():
                way.bytes_per_second = wanted[name]
                way.delay_seconds = wanted["round_trip_seconds"] / 2
                way.free_seconds = min(way.free_seconds, time.monotonic() + QUEUE_SECONDS)
            sys.stdout.write("set\n")
            sys.stdout.flush()
        for way in ways.values():
            way.take()


class EmulatedLink:
    """A link with a namespace at each end; also a context manager that removes it."""

    def __init__(self) -> None:
        self.device_space = f"osp-device-{os.getpid()}"
        self.server_space = f"osp-server-{os.getpid()}"
        self._process: subprocess.Popen[str] | None = None

    def set(self, *, up: float, down: float | None = None, round_trip_seconds: float = 0.0) -> None:
        """Set rates in bytes per second, of IP packets; 0 takes the link down."""
        wanted = {
            "up": up,
            "down": up if down is None else down,
            "round_trip_seconds": round_trip_seconds,
        }
        process = self._require()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "set\n"

    def start(
        self,
        space: str,
        words: Sequence[str],
        *,
        stdout: int | None = None,
        stdin: int | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a Python program in a namespace."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [_IP, "netns", "exec", space, sys.executable, *words]
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=stdout, stdin=stdin)  # noqa: S603 - words of our own

    def __enter__(self) -> Self:
        try:
            for space in (self.device_space, self.server_space):
                _call("netns", "add", space)
            self._process = subprocess.Popen(  # noqa: S603 - this file
                [
                    sys.executable,
                    "-m",
                    "tests.emulated_links",
                    self.device_space,
                    self.server_space,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._remove()

    def _require(self) -> "subprocess.Popen[str]":
        assert self._process is not None
        return self._process

    def _remove(self) -> None:
        """End the process, and remove the namespaces with all that is in them."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(_PATIENCE_SECONDS)
            self._process.stdout.close()
        for space in (self.device_space, self.server_space):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                _call("netns", "del", space)


@contextlib.contextmanager
def serve_beyond(link: EmulatedLink, *folders: Path) -> Iterator[str]:
    """Serve bundles at the far end of a link; gives the URL once they are ready."""
    command = ["-m", "onnxsplit", "serve", *map(str, folders), "--host", SERVER_ADDRESS]
    words = [*command, "--port", "0", "--threads", "1", "--format", "json"]
    process = link.start(link.server_space, words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)
        process.stdout.close()


if __name__ == "__main__":
    emulate(sys.argv[1], sys.argv[2])
