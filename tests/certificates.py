"""Certificates for tests, made by the program ``openssl``."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Signs certificates for this machine's own address."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        authority = cls(folder=folder, name=name)
        _run(
            "req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-keyout", folder / f"{name}.key", "-out", authority.certificate,
        )  # fmt: skip
        return authority

    def sign(self, name: str, *, days: int = 2) -> Identity:
        """Make a key and a certificate for it; negative days give one that has expired."""
        request = self.folder / f"{name}.csr"
        identity = Identity(
            certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key"
        )
        _run(
            "req", *_KEY, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", identity.key, "-out", request,
        )  # fmt: skip
        _run(
            "x509", "-req", "-in", request, "-days", str(days), "-copy_extensions", "copy",
            "-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key",
            "-CAcreateserial", "-out", identity.certificate,
        )  # fmt: skip
        return identity


def _run(*words: str | Path) -> None:
    """Run openssl, and show what it says if it fails."""
    finished = subprocess.run(  # noqa: S603 - the tests' own words
        ["openssl", *map(str, words)],  # noqa: S607 - wherever it is installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
