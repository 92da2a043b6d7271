"""What a release is installed from: pinned, hashed, complete for every Python, and what pyproject.toml asks for."""

from __future__ import annotations

import email
import re
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.podman import PYTHON
from tests.deploy.wheelhouse import LOCKS, REPOSITORY, wheelhouse

RELEASE, BUILD = LOCKS
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def pins(lock: Path) -> dict[str, Version]:
    """Name to version of everything in a lock; each line is a pin with hashes, or a comment."""
    found: dict[str, Version] = {}
    for entry in re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.M).replace("\\\n", " ").splitlines():
        pinned = re.fullmatch(r"([a-z0-9.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", entry)
        assert pinned, f"{lock.name}: {entry[:80]}"
        found[canonicalize_name(pinned[1])] = Version(pinned[2])
    return found


def unmet(requirements: Iterable[str], found: dict[str, Version], python: str = "3.13") -> Iterator[str]:
    """Which of the requirements the pins do not satisfy under that CPython on Linux."""
    surroundings = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    surroundings |= {"sys_platform": "linux", "platform_system": "Linux"}
    surroundings |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate(surroundings):
            version = found.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement}, and it is {version}"


def test_it_is_what_pyproject_asks_for() -> None:
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["kubernetes"]]
    assert list(unmet(asked, pins(RELEASE))) == [], "run: make lock"
    assert list(unmet(PROJECT["build-system"]["requires"], pins(BUILD))) == [], "run: make lock"


def test_what_is_missing_or_too_old_is_found() -> None:
    """This file's own measure."""
    assert list(unmet(["click>=8"], {"click": Version("7.1")})) == ["click>=8, and it is 7.1"]
    assert list(unmet(["click", 'nothing; python_version < "3.12"'], {"click": Version("8")}, "3.13")) == []
    assert list(unmet(['nothing; python_version < "3.12"'], {}, "3.11")) != []


@pytest.mark.parametrize("python", PYTHONS)
def test_it_is_complete_for_every_python(python: str) -> None:
    """By what the wheels themselves ask for."""
    found = pins(RELEASE) | pins(BUILD)
    for wheel in wheelhouse(PYTHON).glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            (name,) = (one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
            asked = email.message_from_bytes(opened.read(name)).get_all("Requires-Dist", [])
        assert list(unmet(asked, found, python)) == [], wheel.name


def test_nothing_in_it_is_of_this_machine() -> None:
    for lock in LOCKS:
        assert not re.search(r"https?:|file:|^-", lock.read_text(), re.M), lock.name
