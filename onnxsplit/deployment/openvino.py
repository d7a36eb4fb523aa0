"""OpenVINO Model Server: a folder for each model, and one ``config.json``."""

from collections.abc import Sequence
from typing import Any

from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import ServingSettings

CONFIG_FILE = "config.json"


def describe_config(services: Sequence[Service], settings: ServingSettings) -> dict[str, Any]:
    """Return ``config.json``; its paths are relative to itself.

    OpenVINO computes in bfloat16 or float16 where the hardware has it, without being asked; the
    stages were verified in their own precision, so that is what is asked for.
    """
    return {
        "model_config_list": [
            {
                "config": _describe_model(
                    service, ServingSettings() if service.is_probe else settings
                )
            }
            for service in services
        ]
    }


def _describe_model(service: Service, settings: ServingSettings) -> dict[str, Any]:
    """Describe one model."""
    return {
        "name": service.name,
        "base_path": service.name,
        "target_device": settings.accelerator.upper(),
        "nireq": settings.instances,
        "plugin_config": _choose_precision(settings),
    }


def _choose_precision(settings: ServingSettings) -> dict[str, str]:
    """Ask for float32 where the device has it."""
    return {} if settings.accelerator == "npu" else {"INFERENCE_PRECISION_HINT": "f32"}
