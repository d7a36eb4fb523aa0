"""What a crossing and the server took, read from the answer."""

from onnxsplit.runtime.messages import InferResponse
from onnxsplit.runtime.relays import RELAY_SECONDS
from onnxsplit.runtime.remote_half import RemoteAnswer
from onnxsplit.runtime.run_traces import Route, RunTrace
from onnxsplit.runtime.session_models import COMPUTE_SECONDS


def trace_answer(index: int, answer: RemoteAnswer) -> RunTrace:
    """Return the parts of a run that lie beyond the device's stage.

    Parameters
    ----------
    index : int
        Which run it is.
    answer : RemoteAnswer
    """
    route: Route = "split"
    server = _read_seconds(answer.response)
    exchange = answer.exchange
    if exchange is None:
        return RunTrace(index=index, route=route, server_seconds=server, retries=answer.retries)
    return RunTrace(
        index=index,
        route=route,
        encode_seconds=exchange.encode_seconds,
        network_seconds=max(0.0, exchange.wait_seconds - server),
        server_seconds=server,
        decode_seconds=exchange.decode_seconds,
        sent_bytes=exchange.sent_bytes,
        received_bytes=exchange.received_bytes,
        retries=answer.retries,
        is_fresh=exchange.is_fresh,
    )


def _read_seconds(response: InferResponse) -> float:
    """Read what the server says that its stage and those beyond it took; 0 if it does not tell."""
    told = (response.parameters.get(name, 0.0) for name in (COMPUTE_SECONDS, RELAY_SECONDS))
    return sum(float(part) for part in told if isinstance(part, int | float) and part >= 0)
