"""One builder for each engine: from services and settings to a repository."""

import json
from collections.abc import Callable, Mapping, Sequence

from onnxsplit.deployment import kserve, openvino, ray, triton
from onnxsplit.deployment.notes import list_notes
from onnxsplit.deployment.probes import make_probe_service
from onnxsplit.deployment.readmes import write_readme
from onnxsplit.deployment.repositories import Repository
from onnxsplit.deployment.services import Service, Source
from onnxsplit.deployment.settings import Engine, ServingSettings
from onnxsplit.deployment.yamltext import write_yaml

README_FILE = "README.md"

Builder = Callable[[Sequence[Service], ServingSettings], dict[str, str]]
"""Makes the texts of a repository, by file."""


def build_repository(
    engine: Engine, services: Sequence[Service], settings: ServingSettings
) -> Repository:
    """Build what an engine loads.

    Parameters
    ----------
    engine : str
    services : sequence of Service
        At least one; the probe model comes on top.
    settings : ServingSettings

    Returns
    -------
    Repository
        The same services and settings give the same bytes.

    Raises
    ------
    UsageError
        The settings do not suit the engine or a model.
    UnsupportedModelError
        A model's types do not suit the engine.
    """
    settings.check(engine)
    services = (*services, make_probe_service())
    return Repository(
        texts={
            README_FILE: write_readme(engine, services, settings),
            **_BUILDERS[engine](services, settings),
        },
        sources=_list_sources(engine, services),
        description={
            "engine": engine,
            "accelerator": settings.accelerator,
            "models": [_describe(service) for service in services],
            "notes": list(list_notes(engine, services)),
        },
    )


def _list_sources(engine: Engine, services: Sequence[Service]) -> dict[str, Source]:
    """Return every model file's place: ``NAME/1/FILE``, or within its bundle for Ray Serve."""
    lay_out = ray.lay_out if engine == "ray" else triton.lay_out
    return {name: source for service in services for name, source in lay_out(service).items()}


def _describe(service: Service) -> dict[str, object]:
    """Tell which half a model is."""
    return {
        "name": service.name,
        "tier": service.stage.tier,
        "model_sha256": service.model_sha256,
        "stage_sha256": service.stage.fingerprint,
    }


def _build_triton(services: Sequence[Service], settings: ServingSettings) -> dict[str, str]:
    """Write every model's configuration."""
    return {
        f"{service.name}/{triton.CONFIG_FILE}": triton.write_config(service, settings)
        for service in services
    }


def _build_kserve(services: Sequence[Service], settings: ServingSettings) -> dict[str, str]:
    """Write what Triton needs, and the service that runs it."""
    document = kserve.describe_service(services, settings)
    return {**_build_triton(services, settings), kserve.SERVICE_FILE: write_yaml(document)}


def _build_openvino(services: Sequence[Service], settings: ServingSettings) -> dict[str, str]:
    """Write the one configuration."""
    document = openvino.describe_config(services, settings)
    return {openvino.CONFIG_FILE: json.dumps(document, indent=2) + "\n"}


def _build_ray(services: Sequence[Service], settings: ServingSettings) -> dict[str, str]:
    """Write the deployment and its configuration."""
    document = ray.describe_config(services, settings)
    return {
        ray.CONFIG_FILE: write_yaml(document),
        f"{ray.MODULE}.py": ray.write_module(services, settings),
    }


_BUILDERS: Mapping[Engine, Builder] = {
    "triton": _build_triton,
    "kserve": _build_kserve,
    "openvino": _build_openvino,
    "ray": _build_ray,
}
