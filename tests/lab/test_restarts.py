"""Each source ended and started again while sessions are under way on the real lab: verdicts stay right, and no line is
lost or comes twice where the way to the log can promise it.

What is killed: the reader of the journal, Loki, the API server, the sender of syslog; the log files are renamed under
the servers. In every run the sessions of the second round have begun when the source is ended, and all of their lines
have been written when it is back.

A killed rsyslog loses nothing either where its files are its only queue (docs/sources.md). But plain syslog has no
receipts: it sends again what it had not noted as sent. So by syslog every line has to come, and may come again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.sources import journals, relays
from tests.lab import SCENARIOS, Lab, namespaces, usable
from tests.lab.conftest import running_lab
from tests.lab.rounds import messages
from tests.lab.servers import wait_until
from tests.lab.ways import REPOSITORY, WAYS, Way

EXACT = ("file", "journald", "loki", "loki-by-query", "kubernetes")
PLAIN = ("syslog", "syslog-tcp")
NEEDS = {"syslog": relays.USABLE, "syslog-tcp": relays.USABLE, "journald": journals.USABLE}
QUIET = 0.5
"""Seconds without a new line after which the servers have written what they had to say of a round."""

WAYS_TO_TRY = [
    pytest.param(
        way,
        marks=[
            pytest.mark.xdist_group("restarts"),
            pytest.mark.skipif(not NEEDS.get(way, True), reason=f"what {way} needs is not installed"),
        ],
    )
    for way in (*EXACT, *PLAIN)
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Of either generation: the lines are real, and what is on trial is their way."""
    names = list(usable())
    with running_lab(names[-1] if names else "debian12") as running:
        yield running


@dataclass(frozen=True, slots=True)
class Logs:
    """The servers' log files, also those that were renamed, from where they ended at first."""

    files: tuple[Path, ...]
    begin: tuple[int, ...]

    def text(self) -> bytes:
        """All that was written since."""
        found = []
        for file, begin in zip(self.files, self.begin, strict=True):
            renamed = file.with_name(f"{file.name}.1")
            old = renamed.read_bytes() if renamed.exists() else b""
            found.append((old + file.read_bytes() if file.exists() else old)[begin:])
        return b"".join(found)

    def messages(self) -> Counter[str]:
        """How often each message was written since."""
        return Counter(messages(self.text()))

    def settle(self) -> None:
        """Wait until the servers write no more."""
        seen, since = len(self.text()), time.monotonic()
        while time.monotonic() < since + QUIET:
            time.sleep(0.02)
            if (now := len(self.text())) != seen:
                seen, since = now, time.monotonic()


def logs(lab: Lab) -> Logs:
    files = (lab.postfix_log, lab.dovecot_log)
    for file in files:
        file.with_name(f"{file.name}.1").unlink(missing_ok=True)
    Logs(files, (0, 0)).settle()
    return Logs(files, tuple(file.stat().st_size for file in files))


class Probe:
    """A probe that goes on, in the vantage's network."""

    def __init__(self, lab: Lab, config: Path) -> None:
        command = [sys.executable, "-m", "tests.lab.rounds", str(config)]
        self.process = lab.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert self.answer() == "watching"

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the probe has ended"
        return json.loads(line)

    def ask(self, word: str) -> Any:
        self.say(word)
        return self.answer()

    def close(self) -> None:
        self.say("")
        self.process.wait(30)


def end_reader(probe: Probe) -> None:
    """Kill the journalctl that the probe has started."""
    children = Path(f"/proc/{probe.process.pid}/task/{probe.process.pid}/children").read_text().split()
    readers = [int(pid) for pid in children if b"journalctl" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert readers
    for pid in readers:
        os.kill(pid, signal.SIGKILL)


def rename_logs(lab: Lab) -> None:
    """Rotate as logrotate does: rename, then let the servers open their logs anew."""
    for file in (lab.postfix_log, lab.dovecot_log):
        file.rename(file.with_name(f"{file.name}.1"))
    for pid in namespaces.pids_in(lab.namespace("pod")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"postlogd"):
                os.kill(pid, signal.SIGTERM)
            elif words[0].endswith(b"sbin/dovecot"):
                os.kill(pid, signal.SIGUSR1)


def killer(way: str, taken: Way, probe: Probe, lab: Lab) -> Callable[[], None]:
    """What ends the source on this way."""
    match way:
        case "journald":
            return lambda: end_reader(probe)
        case "file":
            return lambda: rename_logs(lab)
    return taken.kill


@pytest.mark.parametrize("way", WAYS_TO_TRY)
def test_ended_and_started_again_in_mid_run(lab: Lab, way: str) -> None:
    lab.apply(SCENARIOS["local"])
    written = logs(lab)
    with WAYS[way](lab) as taken:
        config = taken.config(lab.case(SCENARIOS["local"]))
        content = json.loads(config.read_text())
        content["timeouts"]["evidence"] = "20s"
        config.write_text(json.dumps(content))
        probe = Probe(lab, config)
        kill = killer(way, taken, probe, lab)
        if way == "syslog-tcp":  # whoever sends over TCP loses what it says to nobody
            taken.kill()
            taken.start()
        rounds = [probe.ask("round")]
        before = len(written.text())
        probe.say("round")
        wait_until(lambda: len(written.text()) > before, "the sessions of the second round")
        kill()
        written.settle()
        taken.start()
        rounds.append(probe.answer())
        rounds.append(probe.ask("round"))
        try:
            judge(way, probe, written, rounds)
        finally:
            probe.close()


def fits(way: str, told: dict[str, Any], expected: Counter[str]) -> bool:
    """Every line came; by plain syslog some may have come again, and lines from before that rsyslog had not noted."""
    came = Counter(told["lines"])
    return not expected - came if way in PLAIN else came == expected


def judge(way: str, probe: Probe, written: Logs, rounds: list[dict[str, str]]) -> None:
    """Hold the verdicts, and the lines that came, against what the servers wrote."""
    until = time.monotonic() + 20
    while not fits(way, told := probe.ask("lines"), expected := written.messages()) and time.monotonic() < until:
        time.sleep(0.1)
    assert fits(way, told, expected), (expected - Counter(told["lines"]), Counter(told["lines"]) - expected)
    assert [verdict for one in rounds for verdict in one.values() if verdict != "preserved"] == [], rounds
    assert told["gaps"] == 0
    ever = {*messages(b"".join(file.read_bytes() for file in written.files))} | {*expected}
    assert {*told["lines"]} <= ever, "a line that no server wrote"
    assert expected.total() > 3 * 8
