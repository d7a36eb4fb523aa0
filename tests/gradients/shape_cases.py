"""Cases of operators that rearrange, join, divide, repeat, cut and pad."""

import numpy as np

from tests.gradients.cases import Array, GradientCase, draw, fix_and_feed


def _ints(*values: int) -> Array:
    return np.asarray(values, dtype=np.int64)


def _list_reshapes() -> list[GradientCase]:
    """Return operators that give the same elements other dims."""
    x = draw(2, 3, 4)
    return [
        *fix_and_feed(
            GradientCase(op_type="Reshape", name="one left", inputs={"x": x, "s": _ints(6, -1)}),
            "s",
        ),
        GradientCase(
            op_type="Reshape", name="copied", inputs={"x": x, "s": _ints(0, -1)}, constants=["s"]
        ),
        GradientCase(op_type="Flatten", name="default", inputs={"x": x}),
        GradientCase(op_type="Flatten", name="axis 2", inputs={"x": x}, attributes={"axis": 2}),
        *fix_and_feed(
            GradientCase(
                op_type="Squeeze",
                name="two axes",
                inputs={"x": draw(2, 1, 3, 1), "axes": _ints(1, -1)},
            ),
            "axes",
        ),
        *fix_and_feed(
            GradientCase(
                op_type="Unsqueeze", name="two axes", inputs={"x": x, "axes": _ints(0, -1)}
            ),
            "axes",
        ),
        GradientCase(op_type="Transpose", name="reversed", inputs={"x": x}),
        GradientCase(
            op_type="Transpose", name="rolled", inputs={"x": x}, attributes={"perm": [2, 0, 1]}
        ),
        *(
            GradientCase(
                op_type="DepthToSpace",
                name=mode,
                inputs={"x": draw(2, 8, 2, 3)},
                attributes={"blocksize": 2, "mode": mode},
            )
            for mode in ("DCR", "CRD")
        ),
        GradientCase(
            op_type="SpaceToDepth",
            name="blocks of two",
            inputs={"x": draw(2, 3, 4, 2)},
            attributes={"blocksize": 2},
        ),
    ]


def _list_joins() -> list[GradientCase]:
    """Return operators that join and divide."""
    parts = {"a": draw(2, 1, 2, seed=1), "b": draw(2, 3, 2, seed=2), "c": draw(2, 2, 2, seed=3)}
    x = draw(2, 5, 2)
    return [
        GradientCase(op_type="Concat", name="three", inputs=parts, attributes={"axis": 1}),
        GradientCase(op_type="Concat", name="from behind", inputs=parts, attributes={"axis": -2}),
        GradientCase(
            op_type="Concat", name="one", inputs={"a": parts["a"]}, attributes={"axis": 0}
        ),
        *fix_and_feed(
            GradientCase(
                op_type="Split",
                name="sizes, all used",
                inputs={"x": x, "sizes": _ints(1, 3, 1)},
                attributes={"axis": 1},
                outputs=3,
                seeded=[0, 1, 2],
            ),
            "sizes",
        ),
        GradientCase(
            op_type="Split",
            name="a number, one used",
            inputs={"x": x},
            attributes={"axis": -2, "num_outputs": 2},
            outputs=2,
            seeded=[1],
        ),
    ]


def _list_repeats() -> list[GradientCase]:
    """Return operators that repeat, accumulate and mask."""
    lengths = _ints(3, 1)
    cases = [
        *fix_and_feed(
            GradientCase(
                op_type="Expand", name="two axes", inputs={"x": draw(3, 1), "s": _ints(2, 3, 4)}
            ),
            "s",
        ),
        *fix_and_feed(
            GradientCase(op_type="Expand", name="by ones", inputs={"x": draw(3, 2), "s": _ints(1)}),
            "s",
        ),
        *fix_and_feed(
            GradientCase(
                op_type="Tile", name="two axes", inputs={"x": draw(2, 3), "r": _ints(2, 3)}
            ),
            "r",
        ),
        GradientCase(
            op_type="ReverseSequence",
            name="times first",
            inputs={"x": draw(3, 2, 2), "lengths": lengths},
            attributes={"time_axis": 0, "batch_axis": 1},
        ),
    ]
    cases += [
        GradientCase(
            op_type="CumSum",
            name=f"exclusive {exclusive}, reverse {reverse}",
            inputs={"x": draw(2, 4), "axis": np.asarray(1)},
            attributes={"exclusive": exclusive, "reverse": reverse},
        )
        for exclusive in (0, 1)
        for reverse in (0, 1)
    ]
    cases += [
        GradientCase(
            op_type="Trilu",
            name=f"upper {upper}, {offset}",
            inputs={"x": draw(2, 3, 4), "k": np.asarray(offset)},
            attributes={"upper": upper},
        )
        for upper, offset in ((0, 0), (1, 1), (0, -1))
    ]
    return cases


_SLICES: dict[str, tuple[tuple[int, ...], ...]] = {
    "a middle": ((1,), (3,), (1,)),
    "from the back": ((-3,), (2**31,), (-1,)),
    "two axes": ((1, 0), (2, -1), (0, 2)),
    "every second": ((0,), (2**31,), (1,), (2,)),
    "every second from the second": ((1,), (2**31,), (1,), (2,)),
    "every third of the last two axes": ((0, 1), (5, 4), (1, 2), (3, 3)),
    "backwards": ((-1,), (-(2**31),), (1,), (-1,)),
    "backwards in steps": ((4,), (0,), (1,), (-2,)),
}


def _list_slices() -> list[GradientCase]:
    """Return slices with known and fed bounds."""
    cases = []
    for name, bounds in _SLICES.items():
        given = dict(zip(("starts", "ends", "axes", "steps"), map(_by_row, bounds), strict=False))
        case = GradientCase(op_type="Slice", name=name, inputs={"x": draw(3, 5, 4), **given})
        cases += fix_and_feed(case, *given)
    whole = {"starts": _ints(0, 1), "ends": _ints(2, 5)}
    case = GradientCase(op_type="Slice", name="no axes", inputs={"x": draw(3, 5, 4), **whole})
    return [*cases, *fix_and_feed(case, *whole)]


def _by_row(values: tuple[int, ...]) -> Array:
    return _ints(*values)


def _list_pads() -> list[GradientCase]:
    """Return paddings in every mode, with negative ones and with axes."""
    x = draw(3, 4)
    cases = [
        GradientCase(
            op_type="Pad",
            name=f"{mode}, {pads}",
            inputs={"x": x, "pads": _ints(*pads)},
            attributes={"mode": mode},
            opset=19 if mode == "wrap" else 18,
        )
        for mode, pads in (
            ("constant", (1, 0, 2, 3)),
            ("constant", (0, 0, 0, 2)),
            ("reflect", (1, 2, 2, 0)),
            ("edge", (1, 0, 2, 3)),
            ("wrap", (1, 0, 2, 3)),
        )
    ]
    cases.append(
        GradientCase(
            op_type="Pad",
            name="a value and axes",
            inputs={
                "x": x,
                "pads": _ints(2, 1),
                "value": np.asarray(1.5),
                "axes": _ints(-1),
            },
            trained=["x"],
        )
    )
    return [twin for case in cases for twin in fix_and_feed(case, "pads")]


CASES = [
    *_list_reshapes(),
    *_list_joins(),
    *_list_repeats(),
    *_list_slices(),
    *_list_pads(),
]
