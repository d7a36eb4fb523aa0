"""Ray Serve: a deployment that answers as the embedded server does, and its configuration.

The configuration's keys are those of ``ServeDeploySchema`` in Ray's ``ray.serve.schema``.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnxsplit.deployment.services import Service, Source
from onnxsplit.deployment.settings import Accelerator, ServingSettings
from onnxsplit.errors import UsageError
from onnxsplit.manifest import MANIFEST_FILE

CONFIG_FILE = "serve_config.yaml"
MODULE = "split_server"
DEPLOYMENT = "SplitServer"
PORT = 8000

_CALLS = 64
_PROVIDERS: Mapping[Accelerator, str] = {
    "cpu": "CPUExecutionProvider",
    "gpu": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


def lay_out(service: Service) -> dict[str, Source]:
    """Map what the deployment reads to its sources: the parts of bundles that it serves."""
    if service.is_probe:
        return {}
    names = (MANIFEST_FILE, service.stage.file, *service.stage.data_files)
    return {f"{name_folder(service)}/{name}": service.folder / name for name in names}


def name_folder(service: Service) -> str:
    """Return where the bundle lies in the repository."""
    return f"{service.bundle}.split"


def describe_config(services: Sequence[Service], settings: ServingSettings) -> dict[str, Any]:
    """Return the configuration of Ray Serve.

    Raises
    ------
    UsageError
        There would be several replicas of a stage that keeps states.
    """
    for service in services:
        if service.stage.state_bytes != 0 and settings.instances > 1:
            raise UsageError(
                f"{service.name!r} keeps states from one request to the next, and Ray Serve may"
                " send each to another replica; leave out --instances."
            )
    threads = max((service.stage.threads or 1 for service in services), default=1)
    gpus = 1 if settings.accelerator in {"gpu", "tensorrt"} else 0
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": PORT},
        "applications": [
            {
                "name": services[0].name,
                "route_prefix": "/",
                "import_path": f"{MODULE}:application",
                "deployments": [
                    {
                        "name": DEPLOYMENT,
                        "num_replicas": settings.instances,
                        "max_ongoing_requests": _CALLS,
                        "ray_actor_options": {"num_cpus": threads, "num_gpus": gpus},
                    }
                ],
            }
        ],
    }


def write_module(services: Sequence[Service], settings: ServingSettings) -> str:
    """Write the module that the configuration imports."""
    tiers = {service.stage.tier for service in services if not service.is_probe}
    bundles = {s.bundle: name_folder(s) for s in services if not s.is_probe}
    return _MODULE.format(
        names=", ".join(bundles),
        config=CONFIG_FILE,
        bundles=json.dumps(bundles, indent=4),
        tier=repr(tiers.pop() if len(tiers) == 1 else None),
        provider=json.dumps(_PROVIDERS[settings.accelerator]),
        deployment=DEPLOYMENT,
    )


_MODULE = '''"""{names} for Ray Serve: `serve run {config}` in this folder."""

from pathlib import Path

import onnxsplit as osp
from ray import serve

FOLDER = Path(__file__).parent
BUNDLES = {bundles}


def build():
    """Load the stages; Ray calls this once in every replica."""
    return osp.host(
        [FOLDER / folder for folder in BUNDLES.values()],
        names=list(BUNDLES),
        tier={tier},
        provider={provider},
    )


@serve.deployment
@serve.ingress(build)
class {deployment}:
    """Answers the Open Inference Protocol as the embedded server does."""


application = {deployment}.bind()
'''
