"""What this process holds in physical memory, now and at most, as the system counts it."""

import ctypes
import gc
import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def settle_memory() -> int | None:
    """Give back what is free, begin a new peak, and return the bytes that are held.

    Returns
    -------
    int or None
        None where the system does not tell (only Linux does).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATUS.exists() else None
    if trim is not None:
        trim(0)
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return None
    return _read("VmRSS")


def read_peak() -> int | None:
    """Return the most bytes that were held since `settle_memory`; None where it is not told."""
    return _read("VmHWM")


def _read(key: str) -> int | None:
    """Read one line of the process's status, in kB."""
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(match.group(1)) if match else None
