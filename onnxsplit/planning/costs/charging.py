"""From a question to charges: one entry for each objective.

Sources: the auxiliary vertex per tensor follows Hu et al., "Dynamic Adaptive DNN Surgery for
Inference Acceleration on the Edge" (INFOCOM 2019), the cut itself arXiv 2507.01041; both are
rebuilt here from their ideas and corrected where brute force showed a difference.
"""

from onnxsplit.objectives import Energy, InferenceLatency, Throughput, TrainingDelay
from onnxsplit.planning.costs.charges import Charges, mix_charges
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.inference_charges import charge_inference
from onnxsplit.planning.costs.mixes import list_questions, time_cells
from onnxsplit.planning.costs.moving import charge_moving, refuse_other_moves
from onnxsplit.planning.costs.prices import EVERY_SECOND, SecondPrices, price_energy
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.costs.training_charges import charge_training
from onnxsplit.planning.cuts.resources import charge_resources


def charge(question: Question, coarse: CoarseGraph, *, banned: frozenset[str]) -> Charges:
    """Return what a placement of the coarse graph is charged for.

    Parameters
    ----------
    question : Question
    coarse : CoarseGraph
    banned : frozenset of str
        Values that may not cross.

    Returns
    -------
    Charges
        In the objective's unit; for throughput the columns are resources, not parameters of links.

    Raises
    ------
    UsageError
        The objective does not fit the chain.

    Notes
    -----
    O(n + m).
    """
    if question.origin is not None:
        refuse_other_moves(question)
    if question.variants:
        return mix_charges(
            [
                (weight, charge(single, time_cells(coarse, single.profiles), banned=banned))
                for weight, single in list_questions(question)
            ]
        )
    match question.objective:
        case InferenceLatency():
            return _charge_run(question, coarse, banned, EVERY_SECOND)
        case Energy():
            prices = price_energy(question.objective, question.topology)
            return _charge_run(question, coarse, banned, prices)
        case TrainingDelay():
            return charge_training(question, question.objective, coarse, banned)
        case Throughput():
            return charge_resources(question, coarse, banned)


def _charge_run(
    question: Question, coarse: CoarseGraph, banned: frozenset[str], prices: SecondPrices
) -> Charges:
    """Charge one inference, and its part of moving from an earlier placement."""
    charges = charge_inference(question, coarse, banned, prices)
    if question.origin is None:
        return charges
    return charge_moving(question, question.origin, coarse, charges, prices)
