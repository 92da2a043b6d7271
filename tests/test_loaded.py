"""What is loaded once runs as the installed command does, each time anew."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loaded import Loaded, Streams

PROBE = Path(sys.executable).with_name("probe")
SILENT = "paths: [{name: vip, host: 127.0.0.1, endpoints: [{service: smtp, port: 1}]}]"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    running = Loaded()
    yield running
    running.close()


def test_it_says_and_ends_as_the_installed_command_does(loaded: Loaded, tmp_path: Path) -> None:
    for arguments in (["--version"], ["--once", "--config", "missing.yaml"], ["explain", "-"]):
        installed = subprocess.run(
            [PROBE, *arguments], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        run = loaded.run(*arguments, cwd=tmp_path)
        assert (run.returncode, run.stdout, run.stderr) == (installed.returncode, installed.stdout, installed.stderr)


def test_no_run_knows_of_another(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "mailprobe.yaml").write_text(SILENT)
    runs = [loaded.run("--once", "--format", "json", cwd=tmp_path) for _ in range(2)]
    assert [run.returncode for run in runs] == [2, 2]
    ids = {line for run in runs for line in run.stdout.splitlines() if '"id"' in line}
    assert len(ids) == 2


def test_a_run_ends_with_whoever_asked_for_it(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "mailprobe.yaml").write_text(SILENT)
    with open(os.devnull, "r+b") as nothing:
        streams = Streams(given=nothing.fileno(), out=nothing.fileno(), err=nothing.fileno())
        run = loaded.start("--once", "--wait", "600", cwd=tmp_path, streams=streams)
    with open(os.pidfd_open(run.pid), "rb") as ended:
        run._ending.close()  # as the kernel does it for whoever is killed
        assert select.select([ended], [], [], 10)[0]


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "mailprobe.yaml").write_text(SILENT)
    running = Loaded()
    with pytest.raises(TimeoutError):
        running.run("--once", "--wait", "600", cwd=tmp_path, timeout=0.5)
    running.close()
