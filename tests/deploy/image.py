"""The image of this checkout, and the daemon in a container of it."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from dataclasses import dataclass

import pytest

import probe
from tests.deploy.podman import build, command, environment, obstacle, podman
from tests.deploy.wheelhouse import REPOSITORY

IMAGE = f"localhost/mailprobe-test:{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:12]}"
REVISION = "abc123"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
CONFIGURATION = """
vantage: {name: image}
paths:
  - {name: vip, host: 127.0.0.1, endpoints: [{service: smtp, port: 9}]}
"""


def provided_image() -> str:
    """The name of the image, built once in a process; where that cannot be, the test is skipped with the reason."""
    if reason := obstacle():
        pytest.skip(reason)
    return _built()


@functools.cache
def _built() -> str:
    build(IMAGE, f"--build-arg=VERSION={probe.__version__}", f"--build-arg=REVISION={REVISION}")
    return IMAGE


@dataclass(frozen=True, slots=True)
class Running:
    """The daemon in a container of its own."""

    name: str

    def execute(self, *words: str) -> str:
        return podman("exec", self.name, *words).stdout

    def wait_for(self, event: str) -> None:
        """Read the container's log until the daemon tells this; the log ends with the container."""
        log = ["timeout", "60", *command("logs", "--follow", self.name)]
        with subprocess.Popen(log, stderr=subprocess.PIPE, text=True, env=environment()) as told:
            assert told.stderr is not None
            lines = []
            for line in told.stderr:
                lines.append(line)
                if f'"event": "{event}"' in line:
                    told.terminate()
                    return
        raise AssertionError(f"no {event} in a minute, or an end without it: {''.join(lines)}")
