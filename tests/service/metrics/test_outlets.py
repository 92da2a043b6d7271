"""The command with --textfile and --push: what it writes, what it says, and that the exit code stays the verdict's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.service.metrics.programs import free_port, get_text, pushgateway
from tests.test_cli import PROBE, REPOSITORY, SETTINGS, run

REFUSED = 'path="vip",service="smtp",vantage="lan-probe",verdict="refused"'


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A path on which nothing listens: critical at once."""
    file = tmp_path / "mailprobe.yaml"
    settings = {**SETTINGS, "vantage": {"name": "lan-probe"}, "evidence": {"sources": []}}
    file.write_text(yaml.safe_dump(settings))
    return tmp_path


def test_a_textfile_beside_json(configured: Path) -> None:
    done = run("--once", "--format", "json", "--textfile", "mailprobe.prom", cwd=configured)
    assert (done.returncode, done.stderr, json.loads(done.stdout)["status"]) == (2, "", "critical")
    assert f"mailprobe_verdict{{{REFUSED}}} 1.0" in (configured / "mailprobe.prom").read_text()


async def test_a_push_with_a_password_out_of_the_environment(configured: Path) -> None:
    async with pushgateway() as url:
        template = url.replace("http://", "http://probe:${PUSH_PASSWORD}@")
        arguments = ("--once", "--push", template)
        done = await asyncio.to_thread(run, *arguments, cwd=configured, PUSH_PASSWORD="s3cret")
        page = await get_text(f"{url}/metrics")
    assert (done.returncode, done.stderr) == (2, "")
    assert f'mailprobe_verdict{{instance="",job="mailprobe",{REFUSED}}} 1' in page


def test_places_that_fail_are_said_and_cost_nothing_else(configured: Path) -> None:
    url = f"http://probe:s3cret@127.0.0.1:{free_port()}"
    arguments = ("--once", "--format", "json", "--textfile", "nowhere/x.prom", "--push", url)
    done = run(*arguments, cwd=configured)
    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (2, 2)
    file, gateway = done.stderr.splitlines()
    assert file.startswith("probe: --textfile: nowhere/x.prom was not written (No such file or directory): make")
    assert gateway.startswith(
        f"probe: --push: {url.replace('probe:s3cret@', '')} cannot be reached (Connection refused)"
    )
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("out", ["2>&1 | true", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_the_exit_code_survives_a_lost_output(configured: Path, out: str) -> None:
    line = f"{' '.join(PROBE)} --once --textfile nowhere/x.prom {out}; exit ${{PIPESTATUS[0]}}"
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["bash", "-c", line], cwd=configured, env=surroundings, capture_output=True, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--textfile", "mailprobe.txt"], "--textfile takes a file called *.prom: node_exporter reads no other"),
        (["--textfile", "/dev/stdout"], "--textfile takes a file called *.prom"),
        (["--push", "gw:9091"], "--push takes the URL of a Pushgateway, like 'http://probe:${PUSH_PASSWORD}@"),
        (["--push", "http://me:${NOT_SET}@gw"], "the environment variable NOT_SET is not set"),
    ],
)
def test_wrong_places_are_wrong_usage(configured: Path, arguments: list[str], said: str) -> None:
    done = run("--once", *arguments, cwd=configured)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr


@pytest.mark.parametrize(("arguments", "loaded"), [((), "[]"), (("--textfile", "x.prom"), "['prometheus_client']")])
def test_prometheus_client_is_loaded_for_its_flags_alone(
    configured: Path, arguments: tuple[str, ...], loaded: str
) -> None:
    code = (
        "import sys; from probe.cli import command\n"
        f"command.main(['--once', *{arguments}], standalone_mode=False)\n"
        "print(sorted({'prometheus_client', 'aiohttp'} & set(sys.modules)))"
    )
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=configured, env=surroundings, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == loaded
