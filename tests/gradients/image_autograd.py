"""PyTorch's counterparts of convolutions, poolings and normalisations.

They are given padding by hand where PyTorch only takes the same at both ends, and there are none
for what it lacks; such cases are left out by `is_compared`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.gradients.cases import GradientCase

Tensor = Any
Attributes = Mapping[str, Any]


class ImageCounterparts:
    """Operators on images in PyTorch.

    Parameters
    ----------
    torch : module
    """

    def __init__(self, torch: Any) -> None:  # noqa: ANN401 - a module without types here
        self._torch = torch
        self._functional = torch.nn.functional

    def list_all(self) -> dict[str, Callable[[Sequence[Tensor], Attributes], Tensor]]:
        """Return the counterparts by operator type."""
        return {
            "AveragePool": self._average,
            "BatchNormalization": self._normalise_batch,
            "Conv": self._convolve,
            "ConvTranspose": self._convolve_transposed,
            "GlobalAveragePool": self._average_all,
            "GlobalMaxPool": self._maximum_of_all,
            "GroupNormalization": self._normalise_groups,
            "InstanceNormalization": self._normalise_instances,
            "LRN": self._normalise_neighbours,
            "LpNormalization": self._normalise_by_norm,
            "MaxPool": self._maximum,
        }

    def _pad(self, x: Tensor, pads: Sequence[int], value: float) -> Tensor:
        """Pad as ONNX tells: all beginnings, then all ends."""
        rank = x.ndim - 2
        ends: list[int] = []
        for axis in reversed(range(rank)):
            ends += [pads[axis], pads[rank + axis]]
        return self._functional.pad(x, ends, value=value)

    def _convolve(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        rank = given[0].ndim - 2
        padded = self._pad(given[0], attributes.get("pads", [0] * 2 * rank), 0.0)
        bias = given[2] if len(given) == 3 else None
        return getattr(self._functional, f"conv{rank}d")(
            padded,
            given[1],
            bias,
            stride=attributes.get("strides", 1),
            dilation=attributes.get("dilations", 1),
            groups=attributes.get("group", 1),
        )

    def _convolve_transposed(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        rank = given[0].ndim - 2
        bias = given[2] if len(given) == 3 else None
        whole = getattr(self._functional, f"conv_transpose{rank}d")(
            given[0],
            given[1],
            bias,
            stride=attributes.get("strides", 1),
            dilation=attributes.get("dilations", 1),
            groups=attributes.get("group", 1),
            output_padding=attributes.get("output_padding", 0),
        )
        # Padding crops the result.
        pads = attributes.get("pads", [0] * 2 * rank)
        return self._pad(whole, [-pad for pad in pads], 0.0)

    def _maximum(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        rank = given[0].ndim - 2
        padded = self._pad(given[0], attributes.get("pads", [0] * 2 * rank), -np.inf)
        return getattr(self._functional, f"max_pool{rank}d")(
            padded,
            attributes["kernel_shape"],
            attributes.get("strides", [1] * rank),
            dilation=attributes.get("dilations", 1),
        )

    def _average(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        rank = given[0].ndim - 2
        pads = attributes.get("pads", [0] * 2 * rank)
        pool = getattr(self._functional, f"avg_pool{rank}d")
        sizes = (attributes["kernel_shape"], attributes.get("strides", [1] * rank))
        mean = pool(self._pad(given[0], pads, 0.0), *sizes)
        if attributes.get("count_include_pad", 0):
            return mean
        return mean / pool(self._pad(self._torch.ones_like(given[0]), pads, 0.0), *sizes)

    def _list_places(self, x: Tensor) -> tuple[int, ...]:
        return tuple(range(2, x.ndim))

    def _average_all(self, given: Sequence[Tensor], _: Attributes) -> Tensor:
        return given[0].mean(dim=self._list_places(given[0]), keepdim=True)

    def _maximum_of_all(self, given: Sequence[Tensor], _: Attributes) -> Tensor:
        return self._torch.amax(given[0], dim=self._list_places(given[0]), keepdim=True)

    def _normalise_batch(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        x, scale, bias, mean, variance = given
        epsilon = attributes.get("epsilon", 1e-5)
        return self._functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)

    def _normalise_instances(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        epsilon = attributes.get("epsilon", 1e-5)
        x, scale, bias = given
        return self._functional.instance_norm(x, weight=scale, bias=bias, eps=epsilon)

    def _normalise_groups(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        epsilon = attributes.get("epsilon", 1e-5)
        return self._functional.group_norm(
            given[0], attributes["num_groups"], given[1], given[2], epsilon
        )

    def _normalise_neighbours(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        return self._functional.local_response_norm(
            given[0],
            attributes["size"],
            alpha=attributes.get("alpha", 1e-4),
            beta=attributes.get("beta", 0.75),
            k=attributes.get("bias", 1.0),
        )

    def _normalise_by_norm(self, given: Sequence[Tensor], attributes: Attributes) -> Tensor:
        return self._functional.normalize(
            given[0], p=attributes.get("p", 2), dim=attributes.get("axis", -1)
        )


def is_compared(case: GradientCase) -> bool:
    """Tell whether PyTorch has what a case asks for."""
    attributes = case.attributes
    absent = {"auto_pad", "ceil_mode", "output_shape"} & attributes.keys()
    even = case.op_type == "LRN" and attributes["size"] % 2 == 0
    gaps = case.op_type == "AveragePool" and "dilations" in attributes
    return not absent and not even and not gaps
