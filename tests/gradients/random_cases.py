"""Random cases of gradient rules: shapes, axes, bounds, repeats and indices drawn anew."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator

from tests.gradients.cases import Array, GradientCase, draw

Draw = Callable[[Generator], GradientCase]


def _shape(rng: Generator, *, least: int = 1, most: int = 4) -> tuple[int, ...]:
    """Draw dims."""
    return tuple(int(dim) for dim in rng.integers(1, 4, int(rng.integers(least, most + 1))))


def _ints(values: object) -> Array:
    return np.asarray(values, dtype=np.int64)


def _shrink(rng: Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape that is broadcast to another: fewer axes, some of size one."""
    kept = shape[int(rng.integers(0, len(shape) + 1)) :]
    return tuple(1 if rng.random() < 0.4 else dim for dim in kept)


def _draw_broadcast(rng: Generator) -> GradientCase:
    """Draw an operator with two inputs of which either may be stretched."""
    shape = _shape(rng)
    shapes = [_shrink(rng, shape), _shrink(rng, shape)]
    return GradientCase(
        op_type=str(rng.choice(["Add", "Sub", "Mul", "Div", "Max", "Min"])),
        name=f"{shapes}",
        # On two grids, so that no element of one ties with one of the other.
        inputs={
            "a": np.asarray(np.round(draw(*shapes[0], seed=1, low=0.3), 2)),
            "b": np.asarray(np.round(draw(*shapes[1], seed=2, low=0.3), 2) + 0.005),
        },
    )


def _draw_where(rng: Generator) -> GradientCase:
    """Draw a choice whose three inputs may be stretched."""
    shape = _shape(rng)
    shapes = [_shrink(rng, shape) for _ in range(3)]
    which = np.asarray(rng.random(shapes[0]) < 0.5)
    given = {"which": which, "a": draw(*shapes[1], seed=1), "b": draw(*shapes[2], seed=2)}
    return GradientCase(op_type="Where", name=f"{shapes}", inputs=given)


def _draw_product(rng: Generator) -> GradientCase:
    """Draw a product of two stacks of matrices."""
    rows, inner, columns = (int(dim) for dim in rng.integers(1, 4, 3))
    batch = _shape(rng, least=0, most=2)
    left, right = _shrink(rng, batch) if batch else (), batch
    shapes = [(*left, rows, inner), (*right, inner, columns)]
    return GradientCase(
        op_type="MatMul",
        name=f"{shapes}",
        inputs={"a": draw(*shapes[0], seed=1), "b": draw(*shapes[1], seed=2)},
    )


def _draw_axes(rng: Generator, rank: int) -> list[int]:
    """Draw one or more axes, some counted from the back."""
    axes = rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False)
    return [int(axis) - (rank if rng.random() < 0.5 else 0) for axis in axes]


def _draw_reduction(rng: Generator) -> GradientCase:
    """Draw a reduction over any axes."""
    shape = _shape(rng)
    axes, kept = _draw_axes(rng, len(shape)), int(rng.integers(0, 2))
    names = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceProd", "ReduceL2", "ReduceLogSumExp"]
    return GradientCase(
        op_type=str(rng.choice(names)),
        name=f"{shape} over {axes}, keepdims {kept}",
        inputs={"x": draw(*shape), "axes": _ints(axes)},
        constants=["axes"] if rng.random() < 0.5 else [],
        attributes={"keepdims": kept},
    )


def _draw_slice(rng: Generator) -> GradientCase:
    """Draw a slice with steps either way."""
    shape = tuple(int(dim) for dim in rng.integers(2, 6, int(rng.integers(1, 4))))
    axes = _draw_axes(rng, len(shape))
    bounds: dict[str, list[int]] = {"starts": [], "ends": [], "axes": axes, "steps": []}
    for axis in axes:
        first, last = sorted(int(i) for i in rng.choice(shape[axis] + 1, 2, replace=False))
        step = int(rng.integers(1, 4))
        backwards = rng.random() < 0.3
        bounds["starts"].append(last - 1 if backwards else first)
        bounds["ends"].append(first - 1 - shape[axis] if backwards else last)
        bounds["steps"].append(-step if backwards else step)
    return GradientCase(
        op_type="Slice",
        name=f"{shape}, {bounds}",
        inputs={"x": draw(*shape), **{name: _ints(values) for name, values in bounds.items()}},
        constants=list(bounds) if rng.random() < 0.7 else [],
    )


def _draw_pad(rng: Generator) -> GradientCase:
    """Draw a padding, which may crop where it is of zeros."""
    shape = tuple(int(dim) for dim in rng.integers(2, 5, int(rng.integers(1, 4))))
    mode = str(rng.choice(["constant", "reflect", "edge"]))
    pads = [int(rng.integers(0, 2)) for _ in range(2 * len(shape))]
    return GradientCase(
        op_type="Pad",
        name=f"{shape}, {mode}, {pads}",
        inputs={"x": draw(*shape), "pads": _ints(pads)},
        constants=["pads"] if rng.random() < 0.5 else [],
        attributes={"mode": mode},
    )


def _draw_gather(rng: Generator) -> GradientCase:
    """Draw picking along any axis, with indices of any shape."""
    shape = _shape(rng, least=1, most=3)
    axis = int(rng.integers(0, len(shape)))
    places = rng.integers(-shape[axis], shape[axis], _shape(rng, least=0, most=2))
    return GradientCase(
        op_type="Gather",
        name=f"{shape} along {axis} at {places.shape}",
        inputs={"x": draw(*shape), "indices": _ints(places)},
        constants=["indices"] if rng.random() < 0.5 else [],
        attributes={"axis": axis},
    )


def _draw_concat(rng: Generator) -> GradientCase:
    """Draw a join of parts of different sizes."""
    shape = _shape(rng, least=1, most=3)
    axis = int(rng.integers(0, len(shape)))
    parts = {
        f"x{i}": draw(*shape[:axis], int(rng.integers(1, 4)), *shape[axis + 1 :], seed=i)
        for i in range(int(rng.integers(1, 4)))
    }
    return GradientCase(
        op_type="Concat",
        name=f"{[part.shape for part in parts.values()]} along {axis}",
        inputs=parts,
        attributes={"axis": axis},
    )


def _draw_transpose(rng: Generator) -> GradientCase:
    """Draw an order of axes."""
    shape = _shape(rng)
    order = [int(axis) for axis in rng.permutation(len(shape))]
    return GradientCase(
        op_type="Transpose",
        name=f"{shape} to {order}",
        inputs={"x": draw(*shape)},
        attributes={"perm": order},
    )


def _draw_normalization(rng: Generator) -> GradientCase:
    """Draw a normalisation over any last axes, or Softmax along any."""
    shape = tuple(int(dim) for dim in rng.integers(2, 5, int(rng.integers(1, 4))))
    axis = int(rng.integers(0, len(shape)))
    if rng.random() < 0.5:
        return GradientCase(
            op_type=str(rng.choice(["Softmax", "LogSoftmax"])),
            name=f"{shape} along {axis}",
            inputs={"x": draw(*shape)},
            attributes={"axis": axis},
        )
    scale, shift = draw(*shape[axis:], seed=1), draw(*shape[axis:], seed=2)
    return GradientCase(
        op_type="LayerNormalization",
        name=f"{shape} from {axis}",
        inputs={"x": draw(*shape), "scale": scale, "shift": shift},
        attributes={"axis": axis, "epsilon": 1e-2},
        tolerance=1e-4,
    )


def _draw_einsum(rng: Generator) -> GradientCase:
    """Draw a contraction of two or three operands."""
    letters = "abcd"
    sizes = dict(zip(letters, (int(dim) for dim in rng.integers(1, 4, 4)), strict=True))
    terms = [
        "".join(rng.choice(list(letters), int(rng.integers(1, 4)), replace=False))
        for _ in range(int(rng.integers(1, 4)))
    ]
    used = sorted(set("".join(terms)))
    result = "".join(rng.permutation(used)[: int(rng.integers(0, len(used) + 1))])
    return GradientCase(
        op_type="Einsum",
        name=f"{','.join(terms)}->{result}",
        inputs={
            f"x{i}": draw(*(sizes[letter] for letter in term), seed=i)
            for i, term in enumerate(terms)
        },
        attributes={"equation": f"{','.join(terms)}->{result}"},
    )


DRAWS: Mapping[str, Draw] = {
    "broadcast": _draw_broadcast,
    "concat": _draw_concat,
    "einsum": _draw_einsum,
    "gather": _draw_gather,
    "normalization": _draw_normalization,
    "pad": _draw_pad,
    "product": _draw_product,
    "reduction": _draw_reduction,
    "slice": _draw_slice,
    "transpose": _draw_transpose,
    "where": _draw_where,
}
"""Ways to draw a case."""
