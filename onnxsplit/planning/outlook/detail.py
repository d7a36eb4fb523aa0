"""How much a plan tells beside its placement."""

from dataclasses import dataclass

from onnxsplit.errors import UsageError

DEFAULT_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a plan is to tell beside its placement.

    Parameters
    ----------
    alternatives : int
        How many of the next best placements to list, no two with the same crossings.
    sensitivity : bool
        How far each rate, round trip and tier's speed may move before the answer changes.
    explain : tuple of str
        Operators of which to say why they are where they are.

    Raises
    ------
    UsageError
        The number of alternatives is negative.
    """

    alternatives: int = DEFAULT_ALTERNATIVES
    sensitivity: bool = False
    explain: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse fewer than no alternatives."""
        if self.alternatives < 0:
            raise UsageError(f"--alternatives {self.alternatives} is negative; give 0 or more.")
