"""What a measurement depends on: processor, cores, machine and system; never a host's name."""

import functools
import os
import platform
import re
from pathlib import Path

from onnxsplit.engines.port import EngineOptions

_CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def read_processor() -> str:
    """Return the processor's model name as the system gives it."""
    match = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _read_cpuinfo(), re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()


@functools.cache
def count_cores() -> int:
    """Count the physical cores that this process may use, at least one."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    usable = os.sched_getaffinity(0)
    return len(find_cores(_read_cpuinfo(), usable)) or len(usable)


def describe_machine() -> dict[str, str]:
    """Return the processor, the machine type and the kind of system."""
    return {"cpu": read_processor(), "machine": platform.machine(), "os": platform.system()}


def find_cores(cpuinfo: str, usable: set[int]) -> set[tuple[str, str]]:
    """Find the physical cores of some logical processors.

    Parameters
    ----------
    cpuinfo : str
        Linux's description of the processors.
    usable : set of int
        Numbers of the logical processors.

    Returns
    -------
    set of (str, str)
        Socket and core; empty where the description does not tell them (as on ARM).
    """
    cores = set()
    for block in cpuinfo.split("\n\n"):
        entries = dict(re.findall(r"^([^\t:]+?)\s*:[ \t]*(.*)$", block, re.MULTILINE))
        complete = {"processor", "physical id", "core id"} <= entries.keys()
        if complete and int(entries["processor"]) in usable:
            cores.add((entries["physical id"], entries["core id"]))
    return cores


def _read_cpuinfo() -> str:
    """Return Linux's description of the processors, or nothing elsewhere."""
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def resolve_threads(options: EngineOptions) -> int:
    """Return the number of threads that a session with these options uses."""
    return options.threads or count_cores()
