"""The process that makes a change: when it has ended, and who is not taken for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from probe.service.vigil.process import Process, ancestors


def told(proc: Path, number: int, state: str, started: int, parent: int = 0) -> None:
    """As /proc tells it, of a program with a name that is hard to read."""
    (proc / str(number)).mkdir(exist_ok=True)
    fields = [state, str(parent), *["0"] * 17, str(started), "0"]
    (proc / str(number) / "stat").write_text(f"{number} (a) b (c) {' '.join(fields)}\n")


def test_it_lives_until_it_has_ended_and_a_zombie_has() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as one:
        process = Process(one.pid)
        assert process.lives
        one.kill()
        while process.lives:
            pass
        assert one.returncode is None, "nobody has asked for its end yet"
    assert not process.lives
    assert not Process(one.pid).lives


def test_who_was_given_its_number_is_another_and_who_cannot_be_seen_lives(tmp_path: Path) -> None:
    told(tmp_path, 1, "S", 700)
    process = Process(1, tmp_path)  # the number is that of somebody who runs
    assert process.lives
    told(tmp_path, 1, "R", 700)
    assert process.lives
    told(tmp_path, 1, "S", 701)
    assert not process.lives
    assert Process(1, tmp_path / "hidden").lives


def test_who_began_a_process_is_known_up_to_the_first(tmp_path: Path) -> None:
    for number, parent in ((30, 20), (20, 1), (1, 0)):
        told(tmp_path, number, "S", 700, parent)
    assert list(ancestors(30, tmp_path)) == [20, 1]
    assert list(ancestors(31, tmp_path)) == []
    assert os.getppid() in ancestors(os.getpid())
