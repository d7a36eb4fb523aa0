"""The pure minimum-cut machine: arrays in, a certified cut out; it knows nothing of models."""

from onnxsplit.mincut.budgets import (
    TOLERANCE,
    BudgetedCut,
    CutCap,
    SideRows,
    Term,
    solve_within_budgets,
)
from onnxsplit.mincut.certificate import TickCertificate, certify
from onnxsplit.mincut.contraction import Contraction, contract
from onnxsplit.mincut.dominance import join_dominated, merge_parallel
from onnxsplit.mincut.minimum import MinimumCut, solve_minimum_cut, solve_prepared
from onnxsplit.mincut.prepared import PreparedProblem
from onnxsplit.mincut.problem import SINK, SOURCE, CutProblem, LinearProblem, ProblemBuilder
from onnxsplit.mincut.structure import ArcStructure

__all__ = [
    "SINK",
    "SOURCE",
    "TOLERANCE",
    "ArcStructure",
    "BudgetedCut",
    "Contraction",
    "CutCap",
    "CutProblem",
    "LinearProblem",
    "MinimumCut",
    "PreparedProblem",
    "ProblemBuilder",
    "SideRows",
    "Term",
    "TickCertificate",
    "certify",
    "contract",
    "join_dominated",
    "merge_parallel",
    "solve_minimum_cut",
    "solve_prepared",
    "solve_within_budgets",
]
