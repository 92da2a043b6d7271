"""Debian's podman with a storage of its own, and in it a stand-in for the image's base.

Rule 1: this machine's own images and containers are never seen: the stand-in carries the name of a public image, and
        anybody's podman would take it for that.
Rule 2: nothing is pulled. The stand-in is the lab's Debian 13 root with its Python where the official image has it, in
        /usr/local, and without compiled modules, as there.
Rule 3: what is built stays as a cache; the cache is thrown away once it holds more than IMAGES.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.wheelhouse import REPOSITORY, pip_configuration, wheelhouse
from tests.lab.generations import cache

BASE = re.search(r"^ARG BASE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.M)[1]  # type: ignore[index]
PYTHON = re.search(r"python:(3\.\d+)", BASE)[1]  # type: ignore[index]
IMAGES = 90
STORAGE = cache().parent / "containers"
RUNTIME = Path("/run/mailprobe-lab/containers", hashlib.sha256(bytes(STORAGE)).hexdigest()[:8])
LEFT_OUT = (
    *("./var/cache", "./var/lib/apt", "./tmp/*", "./usr/share/doc", "./usr/share/man", "./usr/share/locale"),
    *("./usr/lib/postfix", "./usr/lib/dovecot", "./usr/lib/python3", f"./usr/local/lib/python{PYTHON}"),
    *(f"./usr/lib/python{PYTHON}/test", "__pycache__", "EXTERNALLY-MANAGED"),
)
MOVED = tuple(f"s,^./usr/{where}/python{PYTHON},./usr/local/{where}/python{PYTHON},S" for where in ("bin", "lib"))
RECIPE = hashlib.sha256(repr((LEFT_OUT, MOVED)).encode()).hexdigest()[:16]


def obstacle() -> str | None:
    """Why there can be no containers here, or None."""
    if os.geteuid() != 0:
        return "containers need root"
    if missing := [tool for tool in ("podman", "runc") if shutil.which(tool) is None]:
        return f"missing on this machine: {', '.join(missing)}; run tests/lab/install.sh as root"
    if not (cache() / f"usr/lib/python{PYTHON}/ensurepip").exists():
        return f"{cache()} has no Python {PYTHON} to make the image's base of; run tests/lab/install.sh as root"
    return None


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """What a podman command printed, after it has ended."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment(), timeout=600
    )
    if check and done.returncode:
        raise RuntimeError(
            f"podman {' '.join(arguments)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done


def command(*arguments: str) -> list[str]:
    """The whole command line, on our storage and without a service manager."""
    places = ["--root", str(STORAGE), "--runroot", str(RUNTIME)]
    return ["podman", *places, "--cgroup-manager=cgroupfs", "--events-backend=file", *arguments]


def environment() -> dict[str, str]:
    """Health checks are run by the tests, not by timers of systemd."""
    return {**os.environ, "DISABLE_HC_SYSTEMD": "true"}


def run_words(*more: str) -> list[str]:
    """`podman run`, as locked up as docs/install.md has it and without a network."""
    # Nothing of a test that was killed stays for long.
    locked_up = ["--timeout=900", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=none"]
    return ["run", "--pull=never", *locked_up, *limits(), *more]


def limits() -> list[str]:
    """A container's limits within those of this process, which may not give more than it has."""
    words = []
    for name, number, most in (("nofile", resource.RLIMIT_NOFILE, 20000), ("nproc", resource.RLIMIT_NPROC, 4096)):
        hard = resource.getrlimit(number)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        words.append(f"--ulimit={name}={bound}:{bound}")
    return words


def inspected(kind: str, name: str) -> dict[str, Any]:
    """What podman knows of an image or a container."""
    (told,) = json.loads(podman(kind, "inspect", name).stdout)
    return dict(told)


@contextmanager
def alone() -> Iterator[None]:
    """One process at a time makes images."""
    RUNTIME.mkdir(parents=True, exist_ok=True)
    with (RUNTIME.parent / "containers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(tag: str, *arguments: str) -> None:
    """Build the Dockerfile of this repository on the stand-in, out of the wheelhouse."""
    house = wheelhouse(PYTHON)
    with alone(), tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(pip_configuration("/mnt"))
        configuration.flush()
        _make_room()
        _provide_base()
        words = ["build", "--isolation=chroot", "--pull=never", "--network=host", "--format=docker", "--layers"]
        given = [f"--volume={house}:/mnt:ro", f"--secret=id=pip.conf,src={configuration.name}"]
        podman(*words, *given, *arguments, f"--tag={tag}", str(REPOSITORY))


def _make_room() -> None:
    if len(podman("images", "--all", "--quiet").stdout.split()) > IMAGES:
        podman("rmi", "--all", check=False)  # what somebody else runs just now stays


def _provide_base() -> None:
    known = podman("image", "inspect", "--format", "{{.Labels.recipe}}", BASE, check=False)
    if known.returncode == 0 and known.stdout.strip() == RECIPE:
        return
    with tempfile.TemporaryDirectory() as scratch:
        names = Path(scratch, "usr/local/bin")
        names.mkdir(parents=True)
        for name in ("python3", "python"):
            (names / name).symlink_to(f"python{PYTHON}")
        words: Sequence[str] = [f"--exclude={path}" for path in LEFT_OUT] + [f"--transform={rule}" for rule in MOVED]
        links = ["-C", scratch, "usr/local/bin/python3", "usr/local/bin/python"]
        tar = ["tar", "-C", str(cache()), "--one-file-system", *words, "-cf", f"{scratch}/base.tar", ".", *links]
        subprocess.run(tar, check=True)
        podman("import", "--quiet", f"--change=LABEL recipe={RECIPE}", f"{scratch}/base.tar", BASE)
