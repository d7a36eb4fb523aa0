"""Sentences about plans whose objective is energy, seconds weighed in where that was asked for."""

from collections.abc import Mapping

from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.units import format_energy

_FLOAT_NOISE = 1e-9


def explain_fewer_tiers(split: PricedPlacement, optimum: PricedPlacement) -> str:
    """Say by how much using fewer tiers takes less energy.

    Parameters
    ----------
    split : PricedPlacement
        The best proper split.
    optimum : PricedPlacement
        It leaves at least one tier empty.
    """
    used = [tier for tier in optimum.placement.tiers if optimum.placement.operators(tier)]
    saved = split.value - optimum.value
    if saved <= _FLOAT_NOISE * optimum.value:
        comparison = "no more than this split"
    else:
        comparison = f"{format_energy(saved)} less than this split"
    return f"Using {' and '.join(used)} alone takes {format_energy(optimum.value)}, {comparison}."


def explain_split(split: PricedPlacement, wholes: Mapping[str, PricedPlacement]) -> str:
    """Say what splitting saves against either whole.

    Parameters
    ----------
    split : PricedPlacement
        The optimum, a proper split.
    wholes : mapping of str to PricedPlacement
        Running everything on one tier, where that is possible.
    """
    others = [f"{format_energy(whole.value)} on the {tier} alone" for tier, whole in wholes.items()]
    if not others:
        return "No tier can run everything, so the model has to be split."
    return (
        f"The cut lies here because it takes {format_energy(split.value)} instead of"
        f" {' or '.join(others)}."
    )


def explain_override(given: PricedPlacement, optimum: PricedPlacement) -> str:
    """Say what a given placement costs against the optimum."""
    lost = given.value - optimum.value
    if lost <= _FLOAT_NOISE * optimum.value:
        return "This placement is as good as the optimum."
    return (
        f"This placement takes {format_energy(lost)} more than the optimum, which is"
        f" {optimum.placement.verdict} at {format_energy(optimum.value)}."
    )
