"""Split training as Flower apps; `pyproject.toml` beside it names them and configures the run."""

import onnxsplit as osp

client_app = osp.make_client_app()
server_app = osp.make_server_app()
