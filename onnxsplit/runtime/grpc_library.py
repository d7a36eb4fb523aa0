"""gRPC itself: an extra, and one that talks to stderr unless it is told not to."""

import os

from onnxsplit.errors import UsageError

# gRPC reads this once, when it is loaded; what it would log comes as an error of ours anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

try:
    import grpc
except ImportError as error:
    raise UsageError(
        'gRPC is an extra that is not installed; run: pip install "onnxsplit[grpc]".'
    ) from error

__all__ = ["grpc"]
