"""Read ``config.pbtxt`` from stdin with Triton's own protobuf, and print it as JSON."""

import sys

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2  # type: ignore[import-not-found] # its own environment

config = text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig())
sys.stdout.write(json_format.MessageToJson(config, preserving_proto_field_name=True))
