"""The image, built from the Dockerfile and run as docs/install.md says: read-only, without capabilities or network.

The base is a stand-in under the official name (tests/deploy/podman.py); all else is what a user builds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import probe
from tests.deploy.image import AUTHORITIES, CONFIGURATION, REVISION, Running, provided_image
from tests.deploy.podman import inspected, podman, run_words

pytestmark = pytest.mark.xdist_group("image")

LEFT = r"""
for tool in pip pip3 gcc cc g++ ld make git; do command -v $tool; done
find / -xdev \( -path /proc -o -path /var/lib/dpkg \) -prune -o \( -path '*/site-packages/pip*' -o -name ensurepip \
  -o -path '*/site-packages/hatchling' -o -path '*/site-packages/setuptools' -o -name '*.whl' -o -name pip.conf \
  -o -name requirements.lock -o -path /src -o -path /wheels -o -path /opt/build -o -path /opt/application \) -print
true
"""
UNCOMPILED = """
import lightkube, os, sys, probe.cli, probe.service.once, probe.service.run, probe.settings

def compiled(module):
    # As the interpreter itself looks: the time of the source stands in the compiled file.
    with open(module.__cached__, "rb") as file:
        return int.from_bytes(file.read(12)[8:], "little") == int(os.stat(module.__file__).st_mtime)

looked = [module for module in sys.modules.values() if getattr(module, "__cached__", None)]
print(len(looked) > 500, *(one.__name__ for one in looked if not os.path.exists(one.__cached__) or not compiled(one)))
"""
TRUSTED = f"import ssl; print(len(ssl.create_default_context(cafile={AUTHORITIES!r}).get_ca_certs()))"
STATUS = """
rows = dict(row.split(":", 1) for row in open("/proc/1/status"))
print(*(rows[name].split()[0] for name in ("Uid", "CapBnd", "CapEff", "NoNewPrivs", "Seccomp")))
try:
    open("/etc/mailprobe/written", "w")
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(scope="module")
def image() -> str:
    return provided_image()


@pytest.fixture(scope="module")
def configuration() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        Path(directory, "mailprobe.yaml").write_text(CONFIGURATION)
        yield f"--volume={directory}:/etc/mailprobe:ro"


@pytest.fixture(scope="module")
def running(image: str, configuration: str) -> Iterator[Running]:
    identity = podman(*run_words("--detach", configuration, "--volume=/var/lib/mailprobe", image)).stdout.strip()
    try:
        container = Running(identity)
        container.wait_for("ready")
        yield container
    finally:
        podman("rm", "--force", "--volumes", "--time=0", identity)


def test_what_it_says_of_itself(image: str) -> None:
    about = inspected("image", image)
    told = about["Config"]
    assert (told["User"], told["Entrypoint"], told["Cmd"]) == ("10001:10001", ["probe"], ["run"])
    assert list(told["ExposedPorts"]) == ["9797/tcp"]
    assert about["Healthcheck"]["Test"] == ["CMD", "healthy"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in told["Labels"].items()}
    assert (labels["title"], labels["version"], labels["revision"]) == ("mailprobe", probe.__version__, REVISION)
    assert "GPL-3.0-only" in labels["licenses"]


def test_no_build_tools_and_no_sources_are_left(image: str) -> None:
    found = podman(*run_words("--rm", "--user=0", "--workdir=/", "--entrypoint=sh", image, "-c", LEFT)).stdout
    assert found.split() == []


def test_the_authorities_that_the_chart_counts_on_are_there(running: Running) -> None:
    """Of the base: the official one has them as the stand-in does, and nothing of ours may take them away."""
    assert int(running.execute("python3", "-c", TRUSTED)) > 0


def test_it_runs_without_any_privilege(running: Running) -> None:
    uid, bounding, effective, no_new, seccomp, *read_only = running.execute("python3", "-c", STATUS).split()
    assert (uid, bounding, effective, no_new, seccomp) == ("10001", "0" * 16, "0" * 16, "1", "2")
    assert read_only == ["30"]  # EROFS


def test_nothing_is_compiled_at_a_start(running: Running) -> None:
    assert running.execute("python3", "-c", UNCOMPILED).split() == ["True"]


def test_it_is_healthy_while_it_answers(running: Running) -> None:
    assert podman("healthcheck", "run", running.name).returncode == 0
    asked = "--env=MAILPROBE_HEALTH_URL=http://127.0.0.1:9798/-/healthy"
    elsewhere = podman("exec", asked, running.name, "healthy", check=False)
    assert elsewhere.returncode == 1
    assert "unhealthy: http://127.0.0.1:9798/-/healthy: " in elsewhere.stdout


def test_sigterm_is_a_clean_end_and_the_history_is_on_its_volume(running: Running) -> None:
    (volume,) = (
        mount["Source"] for mount in inspected("container", running.name)["Mounts"] if mount["Type"] == "volume"
    )
    podman("kill", "--signal=TERM", running.name)
    assert podman("wait", running.name).stdout.strip() == "0"
    assert Path(volume, "history.db").stat().st_size > 0


def test_a_round_by_hand_ends_with_its_exit_code(image: str, configuration: str) -> None:
    done = podman(*run_words("--rm", configuration, image, "--once", "--format", "json"), check=False)
    assert done.returncode == 2
    assert [session["verdict"] for session in json.loads(done.stdout)["sessions"]] == ["refused"]


def test_without_a_configuration_it_says_where_one_belongs(image: str) -> None:
    done = podman(*run_words("--rm", image), check=False)
    assert done.returncode == 64
    assert "/etc/mailprobe/mailprobe.yaml" in done.stderr
