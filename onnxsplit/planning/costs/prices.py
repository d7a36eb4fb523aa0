"""What a second of each activity counts: one for latency, watts for energy."""

from collections.abc import Callable
from dataclasses import dataclass

from onnxsplit.objectives import Energy, Power
from onnxsplit.tiers import Topology


def _one(_: int) -> float:
    """Count a second as a second."""
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondPrices:
    """What a second of each activity counts, in the objective's unit.

    Parameters
    ----------
    computing : callable
        Place of a tier in the chain to what a second of its computing counts.
    sending, receiving, tripping : callable
        Place of a link to what a second of upload, download or round trip counts.
    """

    computing: Callable[[int], float] = _one
    sending: Callable[[int], float] = _one
    receiving: Callable[[int], float] = _one
    tripping: Callable[[int], float] = _one


EVERY_SECOND = SecondPrices()
"""Latency: a second is a second, whoever spends it."""


def price_energy(objective: Energy, topology: Topology) -> SecondPrices:
    """Return what each second draws, all tiers together, plus what waiting counts.

    Parameters
    ----------
    objective : Energy
    topology : Topology

    Returns
    -------
    SecondPrices
        In joules a second. While a tier computes, those before it idle; while a link is busy, its
        near end sends or receives, and those before it idle; a tier draws nothing for what comes
        from, or goes to, the tier before it.
    """
    powers = [objective.powers.get(tier, Power()) for tier in topology.tiers]
    waiting = objective.joules_per_second

    def idle_before(place: int) -> float:
        return sum(power.idle_watts for power in powers[:place])

    def computing(tier: int) -> float:
        return waiting + idle_before(tier) + powers[tier].compute_watts

    def sending(link: int) -> float:
        return waiting + idle_before(link) + powers[link].transmit_watts

    def receiving(link: int) -> float:
        return waiting + idle_before(link) + powers[link].receive_watts

    def tripping(link: int) -> float:
        return waiting + idle_before(link + 1)

    return SecondPrices(
        computing=computing, sending=sending, receiving=receiving, tripping=tripping
    )
