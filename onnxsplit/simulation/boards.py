"""Named boards and servers, with the peak rate that their makers publish.

The rate is that of single-precision arithmetic. For a GPU it is two operations for each CUDA core
and cycle at the highest clock of the data sheet; for a CPU the cores times the clock times what a
core's vector units finish in a cycle. A real model reaches a share of it that differs from operator
to operator and from board to board: scaling a profile by it is an assumption, and named so.

The data sheets themselves were not at hand: each board says what its figures were checked against,
and what nothing confirms.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A machine with its published figure.

    Parameters
    ----------
    name : str
    flops_per_second : float
        Single-precision peak.
    source : str
        How the figure follows from what the maker says.
    check : str
        What that was compared with, and what is left open.
    """

    name: str
    flops_per_second: float
    source: str
    check: str


def _count_gpu(name: str, cores: int, clock_hertz: float, *, check: str) -> Board:
    """Describe a GPU by its cores and its clock."""
    return Board(
        name=name,
        flops_per_second=2.0 * cores * clock_hertz,
        source=f"{cores} CUDA cores at up to {clock_hertz / 1e6:g} MHz",
        check=check,
    )


def _count_cpu(name: str, clock_hertz: float, per_cycle: int, core: str, *, check: str) -> Board:
    """Describe a CPU of four cores by its clock and its vector units."""
    return Board(
        name=name,
        flops_per_second=4.0 * clock_hertz * per_cycle,
        source=f"four {core} cores at {clock_hertz / 1e9:g} GHz, {per_cycle} operations a cycle and"
        " core",
        check=check,
    )


BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        _count_gpu(
            "jetson-nano", 128, 921e6, check="CUDA's deviceQuery lists 128 cores at up to 922 MHz"
        ),
        _count_gpu(
            "jetson-tx2",
            256,
            1300e6,
            check="nvpmodel's mode MAX-N: 1.30 GHz; databases of GPUs list a boost of 1465 MHz",
        ),
        _count_gpu(
            "jetson-xavier-nx",
            384,
            1100e6,
            check="a table of power modes has 1100 MHz; databases of GPUs list a boost of 1377 MHz",
        ),
        _count_gpu(
            "jetson-orin-nx",
            1024,
            918e6,
            check="CUDA's deviceQuery lists 1024 cores at up to 918 MHz",
        ),
        _count_gpu(
            "jetson-agx-orin",
            2048,
            1300e6,
            check="CUDA's deviceQuery lists 2048 cores at up to 1300 MHz",
        ),
        _count_cpu(
            "raspberry-pi-4",
            1.5e9,
            8,
            "Cortex-A72",
            check="cores and clock as the maker lists them; the 8 operations are not confirmed:"
            " cpufetch reckons with 16",
        ),
        _count_cpu(
            "raspberry-pi-5",
            2.4e9,
            16,
            "Cortex-A76",
            check="cores and clock as Zephyr's page of the board has them; two vector"
            " multiply-adds a cycle as in Arm's Cortex-A76 Software Optimization Guide",
        ),
        Board(
            name="t4",
            flops_per_second=8.1e12,
            source="8.1 TFLOPS single precision",
            check="databases of GPUs list 8.14 TFLOPS",
        ),
        Board(
            name="a100",
            flops_per_second=19.5e12,
            source="19.5 TFLOPS single precision, without tensor cores",
            check="databases of GPUs list 19.49 TFLOPS",
        ),
    )
}
