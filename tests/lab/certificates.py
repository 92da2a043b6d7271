"""Certificates of one lab, made with the openssl command: a CA, the server's, and two that must not be believed.

openssl and not trustme, because only `openssl ca` of the older generation can make a certificate that is already
expired, and because the lab stays free of packages beyond the standard library.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab.addresses import EXPIRED_NAME, SERVER_NAME, VIP

CA_CONFIG = """
[ca]
default_ca = lab
[lab]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""
VALID = ("20240101000000Z", "20491231235959Z")
PAST = ("20200101000000Z", "20200201000000Z")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of one lab's CA; `other_ca` signed nothing and is for clients that trust somebody else."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.directory / "other-ca.pem"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of `server` or `expired`."""
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"


def make(directory: Path) -> Certificates:
    """Make all certificates below `directory`, which must not exist yet."""
    directory.mkdir()
    (directory / "index.txt").touch()
    (directory / "serial").write_text("01\n")
    (directory / "ca.cnf").write_text(CA_CONFIG)
    _authority(directory, "ca")
    _authority(directory, "other-ca")
    _signed(directory, "server", VALID)
    _signed(directory, "expired", PAST)
    return Certificates(directory)


def _authority(directory: Path, name: str) -> None:
    _openssl(
        directory,
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN={name}.lab.test "
        f"-addext keyUsage=critical,keyCertSign,cRLSign -keyout {name}.key -out {name}.pem",
    )


def _signed(directory: Path, name: str, period: tuple[str, str]) -> None:
    names = f"DNS:{SERVER_NAME},DNS:{EXPIRED_NAME},IP:{VIP.v4},IP:{VIP.v6}"
    _openssl(
        directory,
        f"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={SERVER_NAME} "
        f"-addext subjectAltName={names} -keyout {name}.key -out {name}.csr",
    )
    _openssl(
        directory,
        f"ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem "
        f"-startdate {period[0]} -enddate {period[1]}",
    )


def _openssl(directory: Path, arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments.split(maxsplit=1)[0]} failed: {done.stderr}")
