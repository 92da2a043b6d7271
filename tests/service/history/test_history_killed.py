"""kill -9 in the middle of writing, again and again: nothing that was committed is lost, nothing doubled or broken."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from tests.service.history.keeping import asked, identities

TIMES = 20
ROOT = Path(__file__).parents[3]


def killed_while_writing(file: Path, first: int, lines: int) -> int:
    """How many sessions the process said were written, when it was killed after it had said so so many times."""
    command = [sys.executable, "-m", "tests.service.history.child", "write", str(file), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    whole = [line for line in said if line.endswith("\n")]
    assert whole
    return int(whole[-1])


def test_a_killed_probe_loses_at_most_what_was_not_yet_written(tmp_path: Path) -> None:
    file, chance, first = tmp_path / "h.db", random.Random(7), 0
    for _ in range(TIMES):
        surely = killed_while_writing(file, first, chance.randint(1, 30))
        # Looked at without the probe: the log beside the file is part of it.
        assert asked(file, "PRAGMA integrity_check") == [("ok",)]
        held = identities(file)
        assert held == [str(number) for number in range(len(held))]
        assert len(held) >= surely
        first = len(held)
    assert first > 10 * TIMES
    assert asked(file, "SELECT count(*) FROM sessions WHERE number NOT IN (SELECT number FROM records)") == [(0,)]
    # One outage lasts at most, and those before it ended with the session that ended them.
    assert asked(file, "SELECT count(*) FROM outages WHERE ended IS NULL")[0][0] <= 1
    assert asked(file, "SELECT count(*) FROM outages WHERE ended < seen OR seen < began") == [(0,)]
    # Whose sessions were lost began anew with the next process: each kill splits one outage at most.
    blocks = len({number // 7 for number in range(first) if number // 7 % 2})
    assert blocks <= asked(file, "SELECT count(*) FROM outages")[0][0] <= blocks + TIMES
