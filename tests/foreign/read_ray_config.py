"""Read a configuration of Ray Serve from stdin with Ray's own schema; print what it understood."""

import sys

import yaml  # type: ignore[import-untyped,import-not-found,unused-ignore] # its own environment
from ray.serve.schema import (  # type: ignore[import-not-found,unused-ignore] # likewise
    ServeDeploySchema,
)

config = ServeDeploySchema.model_validate(yaml.safe_load(sys.stdin))
sys.stdout.write(config.model_dump_json(exclude_unset=True))
