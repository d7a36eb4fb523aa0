"""Ask a server as NVIDIA's own client does: ask_server.py http|grpc ADDRESS MODEL IN.npz OUT.npz.

Sends the arrays of IN.npz, keeps the outputs in OUT.npz, and prints as JSON what the server says of
itself and of the model, and how it answers requests that are wrong.
"""

import importlib
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from tritonclient.utils import (  # type: ignore[import-not-found] # its own environment
    InferenceServerException,
    np_to_triton_dtype,
)


def write_inputs(module: ModuleType, arrays: dict[str, np.ndarray]) -> list[Any]:
    """Make the client's inputs; strings travel as bytes."""
    inputs = []
    for name, array in arrays.items():
        plain = np.char.encode(array, "utf-8").astype(object) if array.dtype.kind == "U" else array
        tensor = module.InferInput(name, list(array.shape), np_to_triton_dtype(plain.dtype))
        tensor.set_data_from_numpy(plain)
        inputs.append(tensor)
    return inputs


def refuse(call: Callable[[], object]) -> str:
    """Return the client's error; fail if there was none."""
    try:
        call()
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    raise SystemExit("a wrong request was answered")


def list_specs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Map names to datatypes and shapes."""
    return {
        entry["name"]: [entry["datatype"], [int(dim) for dim in entry.get("shape", [])]]
        for entry in entries
    }


def main() -> None:
    """Ask, and print."""
    protocol, address, model, source, target = sys.argv[1:]
    module = importlib.import_module(f"tritonclient.{protocol}")
    arrays = dict(np.load(source))
    as_json = {"as_json": True} if protocol == "grpc" else {}
    with module.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(model, **as_json)
        inputs = write_inputs(module, arrays)
        wanted = [entry["name"] for entry in metadata["outputs"]][::-1]
        result = client.infer(
            model,
            inputs,
            request_id="42",
            outputs=[module.InferRequestedOutput(name) for name in wanted],
        )
        response = result.get_response(**as_json)
        outputs = {name: result.as_numpy(name) for name in wanted}
        report = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model),
            "other_ready": is_ready(client, "no-such-model"),
            "inputs": list_specs(metadata["inputs"]),
            "outputs": list_specs(metadata["outputs"]),
            "id": response["id"],
            "order": [entry["name"] for entry in response["outputs"]],
            "refusals": [
                refuse(lambda: client.infer("no-such-model", inputs)),
                refuse(lambda: client.infer(model, inputs, model_version="99")),
                refuse(lambda: client.infer(model, inputs[1:])),
            ],
            "ready_after": client.is_model_ready(model),
        }
    texts: dict[str, Any] = {name: to_text(array) for name, array in outputs.items()}
    np.savez(target, **texts)
    sys.stdout.write(json.dumps(report))


def is_ready(client: Any, model: str) -> bool:  # noqa: ANN401 - either of two clients
    """Ask for a model; some servers refuse the question about one that they do not have."""
    try:
        return bool(client.is_model_ready(model))
    except InferenceServerException:
        return False


def to_text(array: np.ndarray) -> np.ndarray:
    """Turn strings into what a file without pickles can hold."""
    return np.char.decode(array.astype("S"), "utf-8") if array.dtype.kind == "O" else array


if __name__ == "__main__":
    main()
