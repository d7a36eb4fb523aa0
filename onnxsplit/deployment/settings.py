"""How an engine shall run what is exported."""

from dataclasses import dataclass
from typing import Literal

from onnxsplit.errors import UsageError

Engine = Literal["triton", "kserve", "openvino", "ray"]
Accelerator = Literal["cpu", "gpu", "npu", "tensorrt", "openvino"]

ACCELERATORS: dict[Engine, tuple[Accelerator, ...]] = {
    "triton": ("cpu", "gpu", "tensorrt", "openvino"),
    "kserve": ("cpu", "gpu", "tensorrt", "openvino"),
    "openvino": ("cpu", "gpu", "npu"),
    "ray": ("cpu", "gpu", "tensorrt", "openvino"),
}
"""What each engine can run a stage on; OpenVINO Model Server always runs OpenVINO."""
DEFAULT_MAX_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """How an engine shall run each model.

    Parameters
    ----------
    accelerator : str
        What runs it; ``gpu`` is CUDA for all but OpenVINO Model Server, where it is Intel's.
    instances : int
        How many copies answer at once.
    max_batch : int
        The largest batch of one request, where a model can be batched at all.
    dynamic_batching : bool
        Let the engine join requests to batches. Only right for models whose rows do not
        depend on each other, which their types can't tell.
    storage_uri : str or None
        Where a cluster finds the repository.

    Raises
    ------
    UsageError
        A number is not positive.
    """

    accelerator: Accelerator = "cpu"
    instances: int = 1
    max_batch: int = DEFAULT_MAX_BATCH
    dynamic_batching: bool = False
    storage_uri: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in (("instances", self.instances), ("max-batch", self.max_batch)):
            if value < 1:
                raise UsageError(f"--{name} {value} must be at least 1.")

    def check(self, engine: Engine) -> None:
        """Refuse what the engine can't do.

        Raises
        ------
        UsageError
            The engine has no such accelerator, or does not join requests.
        """
        known = ACCELERATORS[engine]
        if self.accelerator not in known:
            raise UsageError(
                f"--to {engine} can't run models on {self.accelerator!r}; it takes"
                f" --accelerator {', '.join(known)}."
            )
        if self.dynamic_batching and engine not in {"triton", "kserve"}:
            raise UsageError(f"--dynamic-batching is for --to triton and kserve, not {engine}.")
        if self.storage_uri is not None and engine != "kserve":
            raise UsageError(f"--storage-uri is for --to kserve, not {engine}.")
