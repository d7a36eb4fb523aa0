"""What a plan for a mix of shapes costs at each of them."""

from onnxsplit.placement import Placement
from onnxsplit.planning.costs.pricing import price_variants
from onnxsplit.planning.costs.question import Question
from onnxsplit.prediction import MixShare


def tell_mix(question: Question, placement: Placement) -> tuple[MixShare, ...]:
    """Price a placement at each shape of a mix; empty where there is none.

    Parameters
    ----------
    question : Question
    placement : Placement

    Raises
    ------
    InfeasiblePlacementError
        The placement can't be run.
    """
    if not question.variants:
        return ()
    return tuple(
        MixShare(
            dims=variant.dims,
            weight=weight,
            prediction=priced.prediction,
            crossing_bytes=sum(crossing.size_bytes for crossing in priced.crossings),
            download_bytes=sum(crossing.size_bytes for crossing in priced.downloads),
        )
        for variant, (weight, priced) in zip(
            question.variants, price_variants(question, placement), strict=True
        )
    )
