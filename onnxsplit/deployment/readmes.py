"""The README of a repository: what lies in it, and the exact commands that run it."""

import shlex
from collections.abc import Callable, Mapping, Sequence

from onnxsplit.deployment import kserve, ray
from onnxsplit.deployment.batching import find_obstacle
from onnxsplit.deployment.notes import list_notes
from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import Engine, ServingSettings
from onnxsplit.graph import TensorSpec

TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:25.08-py3"
OPENVINO_IMAGE = "openvino/model_server:2025.3"

Section = Callable[[Sequence[Service], ServingSettings], str]


def write_readme(engine: Engine, services: Sequence[Service], settings: ServingSettings) -> str:
    """Write the README.

    Parameters
    ----------
    engine : str
    services : sequence of Service
    settings : ServingSettings
    """
    parts = [
        f"# {', '.join(s.name for s in services if not s.is_probe)} for {_TITLES[engine]}",
        (
            "Written by `onnxsplit export`. Each model is the server half of a split model; its"
            " other half lies in the bundle and runs on the device."
        ),
        _list_values(services),
        "## Start",
        _STARTS[engine](services, settings),
        "## Ask",
        _ASKING[engine](services, settings),
        "## Batches",
        _BATCHES[engine](services, settings),
        *_write_notes(engine, services),
    ]
    return "\n\n".join(parts) + "\n"


def _write_notes(engine: Engine, services: Sequence[Service]) -> list[str]:
    """Write what there is to know beyond the commands."""
    notes = [f"- {note}" for note in list_notes(engine, services)]
    return ["## Mind", "\n".join(notes)] if notes else []


def _list_values(services: Sequence[Service]) -> str:
    """Write a table of what the models take and give."""
    rows = [
        f"| `{service.name}` | {_escape(service.stage.tier)} | {way} | `{_escape(spec.name)}`"
        f" | {_escape(_describe_type(spec))} |"
        for service in services
        if not service.is_probe
        for way, specs in (("takes", service.stage.inputs), ("gives", service.stage.outputs))
        for spec in specs
    ]
    head = ["| model | tier | | tensor | type |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _escape(text: str) -> str:
    """Escape what would end a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _describe_type(spec: TensorSpec) -> str:
    """Write a type as people read it."""
    if spec.shape is None:
        return f"{spec.dtype}, of any rank"
    return f"{spec.dtype} [{', '.join('?' if dim is None else str(dim) for dim in spec.shape)}]"


def _name_bundle(service: Service) -> str:
    """Return the bundle's folder, as a shell takes it."""
    return shlex.quote(service.folder.resolve().name)


def _fence(*lines: str) -> str:
    """Write commands."""
    return "\n".join(["```console", *(f"$ {line}" for line in lines), "```"])


def _start_triton(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to run Triton."""
    del services
    gpus = "--gpus all " if settings.accelerator in {"gpu", "tensorrt"} else ""
    docker = (
        f"docker run --rm {gpus}-p 8000:8000 -p 8001:8001 -p 8002:8002"
        f' -v "$PWD":/models:ro {TRITON_IMAGE} \\\n'
        "    tritonserver --model-repository=/models --disable-auto-complete-config"
    )
    return f"In this folder:\n\n{_fence(docker)}"


def _start_kserve(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to bring the repository to a cluster."""
    place = kserve.choose_storage(services, settings)
    name = kserve.name_service(services)
    return "\n\n".join(
        [
            f"Copy this folder's model folders ({', '.join(f'`{s.name}`' for s in services)}) to"
            f" `{place}`"
            + (
                ", an assumption: make such a volume claim, or export again with `--storage-uri`."
                if settings.storage_uri is None
                else "."
            ),
            _fence(
                f"kubectl apply -f {kserve.SERVICE_FILE}",
                f"kubectl wait --for=condition=Ready inferenceservice/{name} --timeout=300s",
            ),
        ]
    )


def _start_openvino(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to run OpenVINO Model Server."""
    del services
    node = {"gpu": "dri", "npu": "accel"}.get(settings.accelerator)
    group = f'"$(stat -c %g /dev/{node}/* | head -n 1)"'
    gpus = "" if node is None else f"--device /dev/{node} --group-add {group} "
    image = OPENVINO_IMAGE if settings.accelerator == "cpu" else f"{OPENVINO_IMAGE}-gpu"
    docker = (
        f'docker run --rm {gpus}-p 8000:8000 -p 8001:8001 -v "$PWD":/models:ro {image} \\\n'
        "    --config_path /models/config.json --rest_port 8000 --port 8001"
    )
    return f"In this folder:\n\n{_fence(docker)}"


def _start_ray(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to run Ray Serve."""
    del services
    runtime = {
        "cpu": "",
        "gpu": " onnxruntime-gpu",
        "tensorrt": " onnxruntime-gpu",
        "openvino": " onnxruntime-openvino",
    }[settings.accelerator]
    commands = _fence(
        f'pip install "ray[serve]" "onnxsplit[serve]"{runtime}', f"serve run {ray.CONFIG_FILE}"
    )
    return f"In this folder, and the first line on every machine of the cluster:\n\n{commands}"


def _ask_locally(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to use a server at the usual port."""
    del settings
    return "\n\n".join(
        [
            _fence(
                "curl -s http://127.0.0.1:8000/v2/health/ready -w '%{http_code}\\n'",
                f"curl -s http://127.0.0.1:8000/v2/models/{services[0].name}",
            ),
            "and from the device, with the bundle there:",
            _fence(
                f"onnxsplit run {_name_bundle(services[0])} --server http://SERVER:8000"
                f" --served-name {services[0].name} --inputs FILE.npz"
            ),
            f"`{services[-1].name}` is there to measure the link:",
            _fence("onnxsplit probe http://SERVER:8000"),
        ]
    )


def _ask_cluster(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how to use a service of a cluster."""
    del settings
    name = kserve.name_service(services)
    return "\n\n".join(
        [
            "The service speaks the Open Inference Protocol over gRPC:",
            _fence(
                f"onnxsplit run {_name_bundle(services[0])} --server grpc://SERVER:80"
                f" --served-name {services[0].name} --inputs FILE.npz"
            ),
            f"`{services[-1].name}` is there to measure the link:",
            _fence("onnxsplit probe grpc://SERVER:80"),
            f"SERVER is the host that `kubectl get inferenceservice {name}` shows.",
        ]
    )


def _batch_triton(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say which models take batches, and why the others do not."""
    lines = []
    for service in services:
        if service.is_probe:
            continue
        obstacle = find_obstacle(service.stage)
        if obstacle is not None:
            lines.append(f"- `{service.name}`: none, because {obstacle}.")
        elif settings.dynamic_batching:
            lines.append(
                f"- `{service.name}`: up to {settings.max_batch}, and Triton joins requests. That"
                " is right only if no row of a batch changes what another gives."
            )
        else:
            lines.append(
                f"- `{service.name}`: up to {settings.max_batch} in a request. If no row of a batch"
                " changes what another gives, `--dynamic-batching` lets Triton join requests."
            )
    return "\n".join(lines)


def _batch_openvino(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how dims are handled."""
    del services, settings
    return (
        "A model takes what its types above allow: dims that are not fixed may change from request"
        " to request. Requests are not joined. On CPU and GPU `INFERENCE_PRECISION_HINT` asks for"
        " float32: where the hardware has bfloat16, OpenVINO would use it unasked."
    )


def _batch_ray(services: Sequence[Service], settings: ServingSettings) -> str:
    """Say how dims are handled, and who is asked."""
    del services
    return (
        "A model takes what its types above allow. Requests are not joined;"
        f" `num_replicas` is {settings.instances}, and each replica holds all models. It listens on"
        " this machine alone: `http_options` in the configuration says otherwise."
    )


_TITLES: Mapping[Engine, str] = {
    "triton": "NVIDIA Triton",
    "kserve": "KServe",
    "openvino": "OpenVINO Model Server",
    "ray": "Ray Serve",
}
_STARTS: Mapping[Engine, Section] = {
    "triton": _start_triton,
    "kserve": _start_kserve,
    "openvino": _start_openvino,
    "ray": _start_ray,
}
_ASKING: Mapping[Engine, Section] = {
    "triton": _ask_locally,
    "kserve": _ask_cluster,
    "openvino": _ask_locally,
    "ray": _ask_locally,
}
_BATCHES: Mapping[Engine, Section] = {
    "triton": _batch_triton,
    "kserve": _batch_triton,
    "openvino": _batch_openvino,
    "ray": _batch_ray,
}
