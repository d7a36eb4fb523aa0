"""The rule of Einsum: another Einsum, with the gradient in the place of the operand."""

import string
from collections.abc import Sequence

import onnx

from onnxsplit.autodiff.broadcasting import sum_to
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.graph import Dim


def _read_terms(equation: str) -> tuple[list[str], str]:
    """Return the operands' terms and the result's, which may be implicit."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if arrow:
        return terms, right
    letters = "".join(terms).replace(".", "")
    once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
    return terms, ("..." if "..." in left else "") + "".join(once)


def _find_lack(node: onnx.NodeProto) -> str | None:
    """Tell of diagonals, which are not covered."""
    equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
    terms, _ = _read_terms(equation)
    letters = [term.replace(".", "") for term in terms]
    repeated = any(len(set(term)) < len(term) for term in letters)
    return f"a letter twice in a term of {equation!r}" if repeated else None


@rule("Einsum", find_lack=_find_lack)
def differentiate_einsum(at: Site) -> Sequence[str | None]:
    """Contract the gradient with the other operands."""
    terms, result = _spell_out(at)
    dims: dict[str, Dim] = {}
    for term, name in zip(terms, at.inputs, strict=True):
        for letter, dim in zip(term, at.shape(name), strict=True):
            if dims.get(letter, 1) == 1:
                dims[letter] = dim
    return [
        _contract(at, terms, result, place, dims) if at.wants(place) else None
        for place in range(len(terms))
    ]


def _spell_out(at: Site) -> tuple[list[str], str]:
    """Give every axis that dots stand for a letter of its own, counted from the right."""
    terms, result = _read_terms(at.attribute("equation"))
    used = set("".join([*terms, result]))
    free = [letter for letter in string.ascii_letters if letter not in used]
    hidden = [
        at.rank(name) - len(term.replace(".", "")) if "..." in term else 0
        for term, name in zip(terms, at.inputs, strict=True)
    ]
    spelled = "".join(free[: max(hidden)])
    written = [
        term.replace("...", spelled[len(spelled) - count :])
        for term, count in zip(terms, hidden, strict=True)
    ]
    return written, result.replace("...", spelled)


def _contract(at: Site, terms: Sequence[str], result: str, place: int, dims: dict[str, Dim]) -> str:
    """Compute the gradient of one operand."""
    others = [i for i in range(len(terms)) if i != place]
    given = [result, *(terms[i] for i in others)]
    reached = "".join(letter for letter in terms[place] if letter in set("".join(given)))
    equation = f"{','.join(given)}->{reached}"
    names = [at.gradient(), *(at.inputs[i] for i in others)]
    made = at.emit("Einsum", *names, equation=equation)
    operand = at.inputs[place]
    narrow = dict(zip(terms[place], at.shape(operand), strict=True))
    alone = [axis for axis, letter in enumerate(terms[place]) if letter not in reached]
    if alone:
        # What was summed over within the operand gets the same gradient everywhere.
        made = at.emit("Unsqueeze", made, at.integers(alone))
        return at.emit("Expand", made, at.sizes(operand))
    return sum_to(
        at,
        made,
        [dims[letter] for letter in terms[place]],
        [narrow[letter] for letter in terms[place]],
        operand,
    )
