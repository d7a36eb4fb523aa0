"""Cases of operators that pick and place by index, and of losses that do so by class."""

import numpy as np

from tests.gradients.cases import Array, GradientCase, draw, fix_and_feed


def _ints(*values: object) -> Array:
    return np.asarray(values, dtype=np.int64)


def _list_gathers() -> list[GradientCase]:
    """Return picking: repeated, negative, single and scalar indices along every axis."""
    x = draw(3, 4, 2)
    indices = {
        "a matrix with repeats": _ints([0, 2], [2, -1]),
        "a vector": _ints(1, 1, 0),
        "a scalar": np.asarray(-2),
        "one in a vector": _ints(1),
    }
    cases = [
        GradientCase(
            op_type="Gather",
            name=f"{name}, axis {axis}",
            inputs={"x": x, "indices": np.asarray(places % x.shape[axis])},
            attributes={"axis": axis},
        )
        for name, places in indices.items()
        for axis in (0, 1, -1)
    ]
    cases += [
        GradientCase(
            op_type="Gather", name="negative", inputs={"x": x, "indices": _ints(-1, 0, -1)}
        ),
        GradientCase(
            op_type="GatherElements",
            name="repeats",
            inputs={"x": draw(3, 4), "indices": _ints([0, 3, 3], [1, -1, 1])},
            attributes={"axis": 1},
        ),
        GradientCase(
            op_type="GatherND",
            name="rows with repeats",
            inputs={"x": x, "indices": _ints([0, 1], [2, 3], [0, 1])},
        ),
        GradientCase(
            op_type="GatherND",
            name="batched",
            inputs={"x": x, "indices": _ints([[1], [1]], [[0], [3]], [[2], [0]])},
            attributes={"batch_dims": 1},
        ),
        GradientCase(
            op_type="TopK",
            name="of the first axis",
            inputs={"x": draw(5, 3), "k": _ints(2)},
            attributes={"axis": 0},
            outputs=2,
        ),
    ]
    many = draw(300, 2)
    cases += [
        GradientCase(
            op_type="Gather",
            name="of many rows",
            inputs={"x": many, "indices": _ints([299, 0, 7], [7, 0, 299])},
        ),
        GradientCase(
            op_type="Gather",
            name="of numbers",
            inputs={"x": draw(4), "indices": _ints([3, 0], [-1, 3])},
        ),
    ]
    cases += [
        GradientCase(
            op_type="Gather",
            name=f"of {len(table)} rows by int32",
            inputs={"x": table, "indices": _ints([3, 0], [1, 3]).astype(np.int32)},
        )
        for table in (draw(4, 2), many)
    ]
    return [twin for case in cases for twin in fix_and_feed(case, list(case.inputs)[1])]


def _list_scatters() -> list[GradientCase]:
    """Return placing, which replaces or adds."""
    cases = []
    for reduction in ("none", "add"):
        rows = _ints([0], [2]) if reduction == "none" else _ints([2], [2])
        cases += [
            GradientCase(
                op_type="ScatterND",
                name=reduction,
                inputs={"x": draw(3, 4), "indices": rows, "updates": draw(2, 4, seed=1)},
                attributes={"reduction": reduction},
            ),
            GradientCase(
                op_type="ScatterElements",
                name=reduction,
                inputs={
                    "x": draw(3, 4),
                    "indices": _ints([0, 3], [2, 1]),
                    "updates": draw(2, 2, seed=1),
                },
                attributes={"reduction": reduction, "axis": 1},
            ),
        ]
    return cases


_LABELS: dict[str, tuple[tuple[int, ...], Array]] = {
    "classes": ((4, 3), _ints(0, 2, 1, 2)),
    "classes of pixels": ((2, 3, 2), _ints([0, 2], [2, 1])),
}


def _list_losses() -> list[GradientCase]:
    """Return both losses with every reduction, weighted and with ignored labels."""
    cases = []
    for op_type in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"):
        for reduction in ("mean", "sum", "none"):
            for name, (shape, labels) in _LABELS.items():
                given = {"x": draw(*shape), "labels": labels}
                weights = {"weights": np.asarray([0.5, 2.0, 1.25])}
                for kind, inputs, ignored in (
                    ("plain", given, None),
                    ("weighted", {**given, **weights}, None),
                    ("ignoring 2", given, 2),
                    ("weighted, ignoring 2", {**given, **weights}, 2),
                ):
                    ignoring = {} if ignored is None else {"ignore_index": ignored}
                    cases.append(
                        GradientCase(
                            op_type=op_type,
                            name=f"{name}, {reduction}, {kind}",
                            inputs=inputs,
                            attributes={"reduction": reduction, **ignoring},
                            trained=["x"],
                        )
                    )
    narrow = _ints(2, 0, 1, 2).astype(np.int32)
    cases += [
        GradientCase(
            op_type=op_type,
            name="labels of int32",
            inputs={"x": draw(4, 3), "labels": narrow},
            attributes={"ignore_index": 2},
            trained=["x"],
        )
        for op_type in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
    ]
    outside = np.asarray([0, -100, 1, 2])
    cases.append(
        GradientCase(
            op_type="SoftmaxCrossEntropyLoss",
            name="ignoring no class at all",
            inputs={"x": draw(4, 3), "labels": outside},
            attributes={"ignore_index": -100},
            trained=["x"],
        )
    )
    cases.append(
        GradientCase(
            op_type="SoftmaxCrossEntropyLoss",
            name="with gradients of both outputs",
            inputs={"x": draw(4, 3), "labels": _LABELS["classes"][1]},
            trained=["x"],
            outputs=2,
            seeded=[0, 1],
        )
    )
    return cases


CASES = [*_list_gathers(), *_list_scatters(), *_list_losses()]
