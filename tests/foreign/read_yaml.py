"""Read YAML from stdin, and print it as JSON."""

import json
import sys

import yaml  # type: ignore[import-untyped,import-not-found,unused-ignore] # its own environment

sys.stdout.write(json.dumps(yaml.safe_load(sys.stdin)))
