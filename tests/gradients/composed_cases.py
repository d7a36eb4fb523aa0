"""Cases of operators that ONNX composes of others, most of which have no rule of their own."""

from typing import Any

import numpy as np

from tests.gradients.cases import Array, GradientCase, draw

_QUERY, _KEY = (2, 4, 3, 4), (2, 2, 5, 4)


def _list_attention() -> list[GradientCase]:
    """Return attention: plain, masked, causal, scaled, capped, with shared heads, in three dims."""
    heads = {"q": draw(2, 2, 3, 4), "k": draw(2, 2, 5, 4, seed=1), "v": draw(2, 2, 5, 4, seed=2)}
    shared = {"q": draw(*_QUERY), "k": draw(*_KEY, seed=1), "v": draw(*_KEY, seed=2)}
    flat = {"q": draw(2, 3, 8), "k": draw(2, 5, 8, seed=1), "v": draw(2, 5, 8, seed=2)}
    seen = np.random.default_rng(0).random((3, 5)) < 0.7
    seen[:, 0] = True
    variants: dict[str, tuple[dict[str, Array], dict[str, Any]]] = {
        "plain": (heads, {}),
        "causal": (heads, {"is_causal": 1}),
        "scaled": (heads, {"scale": 0.25}),
        "capped": (heads, {"softcap": 2.0}),
        "shared heads": (shared, {}),
        "three dims": (flat, {"q_num_heads": 2, "kv_num_heads": 2}),
        "an added mask": ({**heads, "mask": draw(3, 5, seed=3)}, {}),
        "a mask of bools": ({**heads, "mask": seen}, {}),
    }
    return [
        GradientCase(
            op_type="Attention",
            name=name,
            inputs=inputs,
            attributes=attributes,
            constants=["mask"] if "mask" in inputs else [],
            trained=["q", "k", "v"],
            opset=23,
        )
        for name, (inputs, attributes) in variants.items()
    ]


def _list_rotations() -> list[GradientCase]:
    """Return rotary embeddings: halves and pairs, with places and without."""
    x, angles = draw(2, 2, 3, 4), np.random.default_rng(1).uniform(0, 3, (5, 2))
    tables = {"cos": np.cos(angles), "sin": np.sin(angles)}
    places = np.asarray([[0, 1, 2], [2, 3, 4]])
    halves = {name: table[:, :1] for name, table in tables.items()}
    by_batch = {name: table[places] for name, table in tables.items()}
    return [
        GradientCase(
            op_type="RotaryEmbedding",
            name=f"interleaved {turned}, {name}",
            inputs={"x": x, **given},
            attributes={"interleaved": turned, "rotary_embedding_dim": used},
            trained=["x"],
            opset=23,
        )
        for turned in (0, 1)
        for name, used, given in (
            ("places", 0, {**tables, "places": places}),
            ("no places", 0, by_batch),
            ("half of a head", 2, {**halves, "places": places}),
        )
    ]


CASES = [
    *_list_attention(),
    *_list_rotations(),
    GradientCase(
        op_type="Shrink",
        name="with a bias",
        inputs={"x": draw(3, 4)},
        attributes={"bias": 0.3, "lambd": 0.7},
    ),
    GradientCase(
        op_type="SwiGLU",
        name="plain",
        inputs={"a": draw(3, 4), "b": draw(3, 4, seed=1)},
        opset=28,
        runs_on_onnxruntime=False,
    ),
    GradientCase(
        op_type="CenterCropPad",
        name="crops and pads",
        inputs={"x": draw(3, 4), "shape": np.asarray([5, 2])},
        constants=["shape"],
    ),
]
