"""KServe: the Triton repository, and an InferenceService that runs it."""

import re
from collections.abc import Sequence
from typing import Any

from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import ServingSettings

SERVICE_FILE = "inference-service.yaml"
GRPC_PORT = 9000
_LONGEST_LABEL = 63


def describe_service(services: Sequence[Service], settings: ServingSettings) -> dict[str, Any]:
    """Return the InferenceService (``serving.kserve.io/v1beta1``) as a document.

    The runtime is KServe's own ``kserve-tritonserver``, which loads every model of the
    repository and listens for gRPC at port 9000.
    """
    name = name_service(services)
    model: dict[str, Any] = {
        "modelFormat": {"name": "triton"},
        "runtime": "kserve-tritonserver",
        "protocolVersion": "grpc-v2",
        "storageUri": choose_storage(services, settings),
        "ports": [{"name": "h2c", "protocol": "TCP", "containerPort": GRPC_PORT}],
    }
    if settings.accelerator in {"gpu", "tensorrt"}:
        model["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"model": model}},
    }


def name_service(services: Sequence[Service]) -> str:
    """Return a name that Kubernetes takes (a DNS label of RFC 1035), from the first model's."""
    plain = re.sub(r"[^a-z0-9]+", "-", services[0].name.lower()).strip("-")
    label = plain if plain[:1].isalpha() else f"split-{plain}"
    return label[:_LONGEST_LABEL].strip("-")


def choose_storage(services: Sequence[Service], settings: ServingSettings) -> str:
    """Return where the cluster finds the repository: as given, else a volume claim to make."""
    return settings.storage_uri or f"pvc://{name_service(services)}-models"
