"""The Compose file: by the specification's schema, and run by podman-compose in a network namespace of its own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import CONFIGURATION, IMAGE, Running, provided_image
from tests.deploy.podman import command, environment, inspected, limits, podman
from tests.deploy.wheelhouse import REPOSITORY

pytestmark = pytest.mark.xdist_group("image")

FILE = REPOSITORY / "deploy/compose/compose.yaml"
BIN = Path(sys.executable).parent
PROJECT = f"mailprobe-{IMAGE.rpartition(':')[2]}"
NAME = f"{PROJECT}_mailprobe_1"


def check(file: Path) -> subprocess.CompletedProcess[str]:
    words = [str(BIN / "check-jsonschema"), "--builtin-schema=vendor.compose-spec", str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_specification_allows_it(tmp_path: Path) -> None:
    assert check(FILE).returncode == 0, check(FILE).stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("read_only:", "readonly:"))
    assert "readonly" in check(wrong).stdout


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """The file with a configuration and a secret beside it, up."""
    image = provided_image()
    tmp_path.chmod(0o755)
    shutil.copy(FILE, tmp_path)
    for name, text in {"config/mailprobe.yaml": CONFIGURATION, "secrets/mailbox": "swordfish\n"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    shutil.chown(tmp_path / "secrets/mailbox", 10001)
    (tmp_path / "secrets/mailbox").chmod(0o400)
    ours = tmp_path / "podman"
    ours.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    ours.chmod(0o755)
    compose = [
        str(BIN / "podman-compose"),
        f"--podman-path={ours}",
        f"--project-name={PROJECT}",
        f"--podman-run-args={shlex.join(limits())}",
    ]
    variables = {**environment(), "MAILPROBE_IMAGE": image}
    apart = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        subprocess.run([*apart, *compose, "up", "--detach", "--no-build"], cwd=tmp_path, env=variables, check=True)
        yield tmp_path
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout=0"], cwd=tmp_path, env=variables, check=True)


def test_it_runs_locked_up_and_takes_a_new_configuration(project: Path) -> None:
    container = Running(NAME)
    container.wait_for("ready")
    told = inspected("container", NAME)
    # Its network is that of whoever asks, too, since it is none of its own.
    beside = ["nsenter", f"--target={told['State']['Pid']}", "--net"]
    subprocess.run([*beside, *command("healthcheck", "run", NAME)], env=environment(), check=True)
    assert told["HostConfig"]["ReadonlyRootfs"]
    assert told["HostConfig"]["NetworkMode"] == "host"
    assert told["EffectiveCaps"] is None
    assert container.execute("cat", "/run/secrets/mailprobe/mailbox") == "swordfish\n"
    assert Path(*(mount["Source"] for mount in told["Mounts"] if mount["Type"] == "volume"), "history.db").exists()
    replaced = project / "config/mailprobe.yaml"
    replaced.unlink()
    replaced.write_text(CONFIGURATION.replace("name: vip", "name: other"))
    podman("kill", "--signal=HUP", NAME)
    container.wait_for("configuration read again")
