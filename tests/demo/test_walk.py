"""The walk with the product's own round: what each step says is what the probe finds. And the command itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import gettempdir

import pytest

from probe.demo.scenes import STEPS
from probe.demo.show import judge_round
from probe.demo.walk import Heading, walk
from probe.demo.world import demo_world
from probe.model import Link, Round

REPOSITORY = Path(__file__).parents[2]
UP = """
import asyncio
from probe.demo.world import demo_world
async def main():
    async with demo_world():
        print("up")
asyncio.run(main())
"""
BECOME_NOBODY = """
import os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
"""
COMMAND = [sys.executable, "-m", "probe", "demo"]


async def test_every_step_ends_as_told() -> None:
    told: list[str | Round] = []
    began = time.monotonic()
    async with demo_world() as world:
        visited = await walk(world, judge_round=judge_round, tell=told.append)
    assert time.monotonic() - began < 35
    assert [visit.step for visit in visited] == list(STEPS)
    for visit in visited:
        verdicts = {str(result.session.service): result.judgement.verdict for result in visit.round.results}
        assert verdicts == dict.fromkeys(verdicts, visit.step.expected), visit.step.title
        assert len(verdicts) == 4
    assert [part for part in told if isinstance(part, Round)] == [visit.round for visit in visited]
    assert len([part for part in told if isinstance(part, Heading)]) == len(STEPS)
    masked = {link for result in visited[1].round.results for link in (s.link for s in result.evidence.sightings)}
    assert masked == {Link.FINGERPRINT, Link.RHYTHM}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    return place


def started(scratch: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        COMMAND, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("heading", ["1 of 5", "3 of 5", "4 of 5"])
def test_ctrl_c_ends_it_cleanly(scratch: Path, heading: str) -> None:
    with started(scratch) as command:
        assert command.stdout is not None
        for line in command.stdout:
            if line.startswith(heading):
                break
        assert os.listdir(scratch)
        command.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, errors = command.communicate(timeout=10)
    assert time.monotonic() - began < 3
    assert command.returncode == 130
    assert errors.strip() == "interrupted"
    assert os.listdir(scratch) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(scratch: Path) -> None:
    """The world's own needs: no root, another temporary folder. The whole command is shown by the tests above.

    It becomes nobody half-way, with all modules loaded: nobody may not be able to read this checkout or this Python.
    """
    scratch.chmod(0o777)
    for parent in scratch.parents[: len(scratch.parents) - len(Path(gettempdir()).parents) - 1]:
        parent.chmod(parent.stat().st_mode | 0o011)
    environment = {**os.environ, "TMPDIR": str(scratch)}
    command = [sys.executable, "-B", "-c", UP + BECOME_NOBODY + "asyncio.run(main())"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, text=True, capture_output=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("up\nup\n", "")
    assert os.listdir(scratch) == []
