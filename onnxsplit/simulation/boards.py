"""Named boards and servers, with the peak rate that their makers publish.

The rate is that of single-precision arithmetic. For a GPU it is two operations for each CUDA core
and cycle at the highest clock of the data sheet; for a CPU the cores times the clock times what a
core's vector units finish in a cycle. A real model reaches a share of it that differs from operator
to operator and from board to board: scaling a profile by it is an assumption, and named so.
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
        Where the figure is from, and how it follows.
    """

    name: str
    flops_per_second: float
    source: str


def _count_gpu(name: str, cores: int, clock_hertz: float, source: str) -> Board:
    """Describe a GPU by its cores and its clock."""
    return Board(
        name=name,
        flops_per_second=2.0 * cores * clock_hertz,
        source=f"{source}: {cores} CUDA cores at up to {clock_hertz / 1e6:g} MHz",
    )


def _count_cpu(name: str, cores: int, clock_hertz: float, per_cycle: int, source: str) -> Board:
    """Describe a CPU by its cores, its clock and its vector units."""
    return Board(
        name=name,
        flops_per_second=float(cores * clock_hertz * per_cycle),
        source=f"{source}; {per_cycle} operations a cycle and core are derived from its vector"
        " units",
    )


BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        _count_gpu("jetson-nano", 128, 921e6, "NVIDIA Jetson Nano module data sheet"),
        _count_gpu("jetson-tx2", 256, 1300e6, "NVIDIA Jetson TX2 module data sheet"),
        _count_gpu("jetson-xavier-nx", 384, 1100e6, "NVIDIA Jetson Xavier NX module data sheet"),
        _count_gpu("jetson-orin-nx", 1024, 918e6, "NVIDIA Jetson Orin NX 16GB data sheet"),
        _count_gpu("jetson-agx-orin", 2048, 1300e6, "NVIDIA Jetson AGX Orin 64GB data sheet"),
        _count_cpu(
            "raspberry-pi-4",
            4,
            1.5e9,
            8,
            "Raspberry Pi 4 Model B product brief: four Cortex-A72 cores at 1.5 GHz",
        ),
        _count_cpu(
            "raspberry-pi-5",
            4,
            2.4e9,
            16,
            "Raspberry Pi 5 product brief: four Cortex-A76 cores at 2.4 GHz",
        ),
        Board(
            name="t4",
            flops_per_second=8.1e12,
            source="NVIDIA T4 data sheet: 8.1 TFLOPS single precision",
        ),
        Board(
            name="a100",
            flops_per_second=19.5e12,
            source="NVIDIA A100 data sheet: 19.5 TFLOPS FP32",
        ),
    )
}
