"""Cases of normalisations, dropout among them."""

import numpy as np

from tests.gradients.cases import GradientCase, draw


def _list_batch() -> list[GradientCase]:
    """Return batch normalisations with statistics that stay."""
    return [
        GradientCase(
            op_type="BatchNormalization",
            name=f"{len(shape)} dims",
            inputs={
                "x": draw(*shape, seed=1),
                "scale": draw(shape[1], seed=2),
                "bias": draw(shape[1], seed=3),
                "mean": draw(shape[1], seed=4),
                "variance": draw(shape[1], seed=5, low=0.5, high=2.0),
            },
            attributes={"epsilon": 1e-2},
            trained=trained,
        )
        for shape, trained in [
            ((4, 3), ["x", "scale", "bias"]),
            ((2, 3, 4), ["x", "scale", "bias"]),
            ((2, 3, 2, 3), ["x", "scale", "bias"]),
            ((2, 2, 2, 1, 3), ["x"]),
        ]
    ]


def _list_instance() -> list[GradientCase]:
    """Return normalisations of every channel of every image."""
    return [
        GradientCase(
            op_type="InstanceNormalization",
            name=f"{len(shape)} dims",
            inputs={
                "x": draw(*shape, seed=1),
                "scale": draw(shape[1], seed=2),
                "bias": draw(shape[1], seed=3),
            },
            attributes={"epsilon": 1e-2},
            trained=trained,
        )
        for shape, trained in [
            ((2, 3, 5), ["x", "scale", "bias"]),
            ((2, 3, 3, 4), ["x", "scale", "bias"]),
            ((2, 3, 3, 4), ["x"]),
        ]
    ]


def _list_others() -> list[GradientCase]:
    """Return normalisations by norms, of groups, of all, and of neighbouring channels."""
    x = draw(2, 4, 3, 3, seed=1)
    return [
        *(
            GradientCase(
                op_type="LpNormalization",
                name=f"p {power}, axis {axis}",
                inputs={"x": x},
                attributes={"p": power, "axis": axis},
            )
            for power in (1, 2)
            for axis in (-1, 1)
        ),
        *(
            GradientCase(
                op_type="LRN",
                name=f"{size} channels",
                inputs={"x": draw(2, 5, 2, 2, seed=1)},
                attributes={"size": size, "alpha": 0.3, "beta": 0.6, "bias": 1.5},
                batched=["x"],
                runs_on_onnxruntime=size % 2 == 1,
            )
            for size in (1, 3, 4)
        ),
        GradientCase(
            op_type="GroupNormalization",
            name="of channels",
            inputs={"x": x, "scale": draw(4, seed=2), "bias": draw(4, seed=3)},
            attributes={"num_groups": 2, "epsilon": 1e-2},
            opset=21,
            batched=["x"],
        ),
        GradientCase(
            op_type="MeanVarianceNormalization",
            name="of usual axes",
            inputs={"x": x},
            attributes={"axes": [0, 2, 3]},
            batched=["x"],
        ),
    ]


def _list_dropout() -> list[GradientCase]:
    """Return dropouts that drop nothing, as the evaluators' generators differ."""
    off, on, none = np.zeros((), bool), np.ones((), bool), np.zeros(())
    return [
        GradientCase(op_type="Dropout", name="for inference", inputs={"x": draw(2, 5)}),
        GradientCase(
            op_type="Dropout",
            name="turned off",
            inputs={"x": draw(2, 5), "ratio": np.array(0.3), "training": off},
            constants=["training"],
            trained=["x"],
        ),
        GradientCase(
            op_type="Dropout",
            name="turned off when it runs",
            inputs={"x": draw(2, 5), "ratio": np.array(0.3), "training": off},
            trained=["x"],
        ),
        GradientCase(
            op_type="Dropout",
            name="of none",
            inputs={"x": draw(2, 5), "ratio": none, "training": on},
            constants=["training"],
            trained=["x"],
        ),
    ]


CASES = [*_list_batch(), *_list_instance(), *_list_others(), *_list_dropout()]
