"""The files that the locks name, fetched once with whatever this machine's pip is configured to use.

Rule 1: builds and installations in tests take everything out of here and ask no index, so they need no network, and the
        configuration of this machine's pip never gets into an image.
Rule 2: a wheelhouse appears whole or not at all, under the hash of the locks it was made for.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.generations import cache

REPOSITORY = Path(__file__).parents[2]
LOCKS = (REPOSITORY / "deploy/requirements.lock", REPOSITORY / "deploy/build.lock")
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""What wheels for Debian 12 and 13 may be called."""


def wheelhouse(python: str) -> Path:
    """The directory of all wheels for a Python such as 3.13."""
    locks = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()[:16]
    place = cache().parent / "wheels" / f"{python}-{locks}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="unfinished.") as unfinished:
            _fetch(python, Path(unfinished))
            _put(Path(unfinished), place)
    return place


def pip_configuration(house: str) -> str:
    """A pip.conf that takes everything out of a wheelhouse."""
    return f"[global]\nno-index = true\nfind-links = {house}\ndisable-pip-version-check = true\n"


def _fetch(python: str, place: Path) -> None:
    platforms = [f"--platform={name}_{platform.machine()}" for name in GLIBC] + ["--platform=any"]
    locks = [word for lock in LOCKS for word in ("--requirement", str(lock))]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    only = ["--only-binary=:all:", f"--python-version={python}", "--no-deps"]
    subprocess.run([*command, *only, *platforms, f"--dest={place}", *locks], check=True)


def _put(made: Path, place: Path) -> None:
    made.chmod(0o755)
    try:
        made.rename(place)
    except OSError:  # another process was faster
        return
    made.mkdir()
    for old in sorted(place.parent.glob("?.*-*"), key=lambda one: one.stat().st_mtime)[:-8]:
        shutil.rmtree(old, ignore_errors=True)
