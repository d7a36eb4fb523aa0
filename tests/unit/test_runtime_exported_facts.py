"""Which half a model on Triton is, read from its configuration."""

import pytest

from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.exported_facts import read_facts


def test_parameters_are_read_as_text() -> None:
    data = b'{"name":"m","parameters":{"tier":{"string_value":"server"},"a":{"string_value":"1"}}}'
    assert read_facts(data) == {"tier": "server", "a": "1"}


@pytest.mark.parametrize(
    "data", [b"{}", b'{"parameters":{}}', b'{"parameters":{"a":{},"b":3,"c":{"string_value":4}}}']
)
def test_what_says_nothing_is_left_out(data: bytes) -> None:
    assert read_facts(data) == {}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"parameters":[]}', b"\xff"])
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="configuration"):
        read_facts(data)
