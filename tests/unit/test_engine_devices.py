"""Devices with a memory of their own, with the host's memory in the place of theirs."""

import os

import numpy as np
import pytest

from onnxsplit.engines.device import (
    bind_copies,
    find_device,
    wait_for_launches,
    waits_for_launches,
)
from onnxsplit.engines.native import build_settings, load_native
from onnxsplit.engines.ort import OrtSession
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UsageError
from onnxsplit.profiles import BoundaryCost
from onnxsplit.profiling.boundaries import price_copies
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.overheads import measure_copies
from tests.engine_models import relu_model
from tests.executed_graphs import model

HOST = ("cpu", 0)
CUDA = EngineOptions(provider="CUDAExecutionProvider", provider_options={"device_id": "1"})


def test_providers_with_a_memory_of_their_own_are_known() -> None:
    assert find_device(CUDA) == ("cuda", 1)
    assert find_device(EngineOptions()) is None
    assert find_device(EngineOptions(provider="AzureExecutionProvider")) is None


def test_cuda_is_made_to_wait_for_its_launches_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)
    wait_for_launches(EngineOptions())
    assert "CUDA_LAUNCH_BLOCKING" not in os.environ
    assert waits_for_launches(EngineOptions())
    assert not waits_for_launches(CUDA)
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "0")
    wait_for_launches(CUDA)
    assert not waits_for_launches(CUDA)
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING")
    wait_for_launches(CUDA)
    assert waits_for_launches(CUDA)
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING")


def test_a_session_on_a_device_runs_on_values_bound_there() -> None:
    options = EngineOptions(threads=1)
    native = load_native(relu_model().SerializeToString(), build_settings(options, None), options)
    session = OrtSession(native, device=HOST)
    run = session.bind({"x": np.ones((2, 4), dtype=np.float32)})
    run()
    run()
    with pytest.raises(UsageError, match="'x'"):
        session.bind({})


def test_copies_to_a_device_and_back_are_timed_and_charged_to_the_crossing() -> None:
    array = np.ones(8, dtype=np.float32)
    for copy in bind_copies(array, HOST):
        copy()
    rates = measure_copies(HOST, Instruments())
    assert rates is not None
    graph = model("a Relu x -> p\nb Tanh p -> y", size=10_000)
    before = {"p": BoundaryCost(send_seconds=1.0)}
    costs = price_copies(graph, before, rates)
    assert set(costs) == {"x", "p", "y"}
    assert costs["p"].send_seconds == pytest.approx(1.0 + costs["x"].send_seconds, abs=1e-8)
    assert costs["x"].receive_seconds > 0
