"""Cases of reductions, Softmax and normalisations over axes."""

import numpy as np

from tests.gradients.cases import GradientCase, draw, fix_and_feed

_REDUCTIONS = (
    *("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax"),
    *("ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"),
)


def _list_reductions() -> list[GradientCase]:
    """Return every reduction over some, over one and over all axes."""
    cases = []
    for op_type in _REDUCTIONS:
        low = 0.2 if op_type == "ReduceLogSum" else -2.0
        x = draw(2, 3, 4, low=low)
        for axes, kept in (([1], 0), ([-1], 1), ([0, 2], 0), ([-3, 1], 1)):
            case = GradientCase(
                op_type=op_type,
                name=f"axes {axes}, keepdims {kept}",
                inputs={"x": x, "axes": np.asarray(axes)},
                attributes={"keepdims": kept},
            )
            cases += fix_and_feed(case, "axes")
        cases += [
            GradientCase(
                op_type=op_type,
                name=f"all axes, keepdims {kept}",
                inputs={"x": x},
                attributes={"keepdims": kept},
            )
            for kept in (0, 1)
        ]
    return cases


def _list_products() -> list[GradientCase]:
    """Return products with zeros among the factors."""
    zeros = draw(3, 4)
    zeros[0, 1] = zeros[1, 0] = zeros[1, 2] = 0.0
    return [
        GradientCase(
            op_type="ReduceProd",
            name="no zero, one and two",
            inputs={"x": zeros, "axes": np.asarray([1])},
            constants=["axes"],
            attributes={"keepdims": 0},
        ),
        GradientCase(
            op_type="ReduceSum",
            name="over no axes",
            inputs={"x": draw(2, 3)},
            attributes={"noop_with_empty_axes": 1},
        ),
    ]


def _list_softmax() -> list[GradientCase]:
    """Return Softmax and its logarithm along every axis."""
    return [
        GradientCase(
            op_type=op_type,
            name=f"axis {axis}",
            inputs={"x": draw(2, 3, 4)},
            attributes={} if axis is None else {"axis": axis},
        )
        for op_type in ("Softmax", "LogSoftmax")
        for axis in (None, 0, 1, -2)
    ]


def _list_norms() -> list[GradientCase]:
    """Return normalisations with and without a shift, over one axis and over several."""
    shapes = {"the last axis": (-1, (4,)), "two axes": (1, (3, 4)), "from the back": (-2, (3, 4))}
    cases = []
    for name, (axis, shape) in shapes.items():
        given = {"x": draw(2, 3, 4), "scale": draw(*shape, seed=1)}
        layer = GradientCase(
            op_type="LayerNormalization",
            name=name,
            inputs={**given, "shift": draw(*shape, seed=2)},
            attributes={"axis": axis, "epsilon": 1e-3},
        )
        bare = GradientCase(
            op_type="LayerNormalization",
            name=f"{name}, no shift",
            inputs=given,
            attributes={"axis": axis},
        )
        root = GradientCase(
            op_type="RMSNormalization",
            name=name,
            inputs=given,
            attributes={"axis": axis, "epsilon": 1e-3},
            opset=23,
        )
        cases += [layer, bare, root]
    return cases


CASES = [*_list_reductions(), *_list_products(), *_list_softmax(), *_list_norms()]
