"""Cases of matrix products."""

import numpy as np

from tests.gradients.cases import GradientCase, draw

_PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "two matrices": ((2, 3), (3, 4)),
    "a batch by a matrix": ((5, 2, 3), (3, 4)),
    "two batches": ((2, 2, 3), (2, 3, 4)),
    "a matrix by a batch": ((2, 3), (5, 3, 4)),
    "batches stretched on both sides": ((2, 1, 2, 3), (1, 3, 3, 2)),
    "a shorter batch": ((2, 3, 2, 3), (3, 3, 2)),
    "two vectors": ((3,), (3,)),
    "a vector by a matrix": ((3,), (3, 4)),
    "a matrix by a vector": ((2, 3), (3,)),
    "a vector by a batch": ((3,), (2, 3, 4)),
    "a batch by a vector": ((2, 2, 3), (3,)),
    "batches of one": ((1, 2, 3), (1, 3, 2)),
}

_EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "bij,bjk->bik": ((2, 2, 3), (2, 3, 2)),
    "bhid,bhjd->bhij": ((2, 2, 3, 2), (2, 2, 4, 2)),
    "ij->ji": ((2, 3),),
    "ij->i": ((2, 3),),
    "ij,ij->": ((2, 3), (2, 3)),
    "i,j": ((2,), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 2), (2, 4)),
    "...ij,jk->...ik": ((2, 2, 2, 3), (3, 2)),
    "...ij,...jk->...ik": ((1, 2, 2, 3), (4, 1, 3, 2)),
    "ij,kl->i": ((2, 3), (2, 2)),
}


def _list_gemm() -> list[GradientCase]:
    """Return Gemm with both operands as they are and transposed, and all shapes of the third."""
    cases = []
    shapes: list[tuple[int, ...] | None] = [None, (2, 4), (4,), (2, 1), (1,), ()]
    for number, third in enumerate(shapes):
        left, right = number % 2, number // 2 % 2
        cases.append(
            GradientCase(
                op_type="Gemm",
                name=f"transA {left}, transB {right}, third {third}",
                inputs={
                    "a": draw(*((3, 2) if left else (2, 3)), seed=1),
                    "b": draw(*((4, 3) if right else (3, 4)), seed=2),
                    **({} if third is None else {"c": np.asarray(draw(*third, seed=3))}),
                },
                attributes={"alpha": 0.5, "beta": 1.5, "transA": left, "transB": right},
            )
        )
    return cases


CASES = [
    *(
        GradientCase(
            op_type="MatMul", name=name, inputs={"a": draw(*a, seed=1), "b": draw(*b, seed=2)}
        )
        for name, (a, b) in _PRODUCTS.items()
    ),
    *_list_gemm(),
    *(
        GradientCase(
            op_type="Einsum",
            name=equation,
            inputs={f"x{i}": draw(*shape, seed=i) for i, shape in enumerate(shapes)},
            attributes={"equation": equation},
        )
        for equation, shapes in _EQUATIONS.items()
    ),
]
