"""Programs of another environment are not to be imported here, not even for doctests."""

collect_ignore = [
    "ask_server.py",
    "python_backend.py",
    "read_config.py",
    "read_ray_config.py",
    "read_yaml.py",
]
