"""Values on their way into OpenVINO."""

import numpy as np
import pytest

from onnxsplit.engines.openvino_values import to_native
from onnxsplit.graph import TensorSpec


@pytest.mark.parametrize("kind", [np.longlong, np.ulonglong, np.int64, np.int32])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_integers_by_any_of_their_names_in_c_are_taken(
    kind: type[np.generic], shape: tuple[int, ...]
) -> None:
    array = np.full(shape, 7, kind)
    tensor = to_native(array, TensorSpec(name="x", dtype=array.dtype.name, shape=shape), "CPU")
    np.testing.assert_array_equal(tensor.data, array)
