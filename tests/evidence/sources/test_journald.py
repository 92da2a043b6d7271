"""The journal through systemd's own tools: every entry once, whatever becomes of the journal or of journalctl."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - the writers of a test may block it

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from probe.evidence.line import parse_line
from probe.evidence.read import events
from probe.evidence.sources.child import Child
from probe.evidence.sources.journald import ANSWER, Journal, JournaldSource
from probe.evidence.sources.source import MAX_LINE, State
from tests.evidence.expectations import NOW, plain, samples
from tests.evidence.sources.journals import USABLE, Journald, RemoteJournal, exported, journald, remote_journal
from tests.evidence.sources.reading import DEADLINE, Reading, consuming

pytestmark = pytest.mark.skipif(not USABLE, reason="no journalctl or no systemd-journal-remote here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a journald of our own needs root")


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[RemoteJournal]:
    with remote_journal(tmp_path / "remote.journal") as journal:
        yield journal


@pytest.fixture
def daemon() -> Iterator[Journald]:
    with journald() as running:
        yield running


def source_of(directory: Path, *units: str, program: str = "journalctl") -> JournaldSource:
    return JournaldSource(Journal(units=units, directory=directory, program=program), clock=time.time)


def messages(consumer: Reading) -> list[str]:
    parsed = [parse_line(line, now=time.time()) for line in consumer.lines]
    return [line.message for line in parsed if line]


def followers_of(directory: Path) -> list[int]:
    """The journalctl that follows this directory; none while it is between two."""
    pattern = f"journalctl.*--directory={directory} .*--follow"
    command = ["pgrep", "--full", f"--parent={os.getpid()}", pattern]
    return [int(pid) for pid in subprocess.run(command, capture_output=True, check=False).stdout.split()]


async def kill_follower(consumer: Reading, directory: Path) -> None:
    await consumer.until(lambda: bool(followers_of(directory)))
    os.kill(followers_of(directory)[0], signal.SIGKILL)


async def test_entries_after_the_start_become_syslog_lines(tmp_path: Path, remote: RemoteJournal) -> None:
    remote.write("before the start")
    await written(tmp_path, 1)
    async with consuming(source_of(tmp_path)) as consumer:
        remote.write("connect from unknown[192.168.1.10]", at=1795463504.214409, _SOURCE_REALTIME_TIMESTAMP="")
        await consumer.until(lambda: len(consumer.lines) == 1)
        assert consumer.lines == [
            b"2026-11-23T19:51:44.214409Z mail postfix/smtpd[99]: connect from unknown[192.168.1.10]\n"
        ]
        (stamp,) = consumer.arrived[0].stamps
        assert stamp is not None
        assert (round(stamp.seconds, 6), stamp.resolution) == (1795463504.214409, 1e-6)
        health = consumer.source.health
        assert (health.state, health.reason, health.lines, health.gaps) == (State.FOLLOWING, "", 1, 0)
        assert health.last_line_at == consumer.arrived[0].arrival
    assert consumer.source.name == f"journald:{tmp_path}"


async def written(directory: Path, count: int) -> None:
    """Wait until the journal has so many entries: systemd-journal-remote is a process of its own."""
    async with asyncio.timeout(DEADLINE):
        while True:
            shown = subprocess.run(
                ["journalctl", "-m", f"--directory={directory}", "-o", "cat"], capture_output=True, check=False
            )
            if len(shown.stdout.splitlines()) >= count:
                return
            await asyncio.sleep(0.02)


STUCK = r"""#!/bin/sh
echo started >>"$0.calls"
echo '{"MESSAGE":"last","SYSLOG_IDENTIFIER":"postfix/smtpd","__REALTIME_TIMESTAMP":"1795463504214409","__CURSOR":"c1"}'
case "$*" in *--lines=1*) exit 0;; esac
echo "Failed to iterate through journal, entry $$: Bad message" >&2
exit 1
"""


ODD = r"""#!/bin/sh
entry() {
    echo '{"MESSAGE":"'$1'","SYSLOG_IDENTIFIER":"a","__REALTIME_TIMESTAMP":"1795463504214409",'"$2"'"__CURSOR":"'$1'"}'
}
case "$*" in *--lines=1*) exit 0;; esac
for odd in 999999999999999999 99999999999999 1795463504214 1795463504214409000 x ""; do
    entry "c$odd" '"_SOURCE_REALTIME_TIMESTAMP":"'$odd'",'
done
exec sleep 60
"""


def script(folder: Path, text: str) -> Path:
    program = folder / "journalctl"
    program.write_text(text)
    program.chmod(0o755)
    return program


async def test_a_time_stamp_of_another_unit_is_passed_over(tmp_path: Path) -> None:
    """journald's own time of arrival stands in its place."""
    source = JournaldSource(Journal(program=str(script(tmp_path, ODD))), clock=time.time)
    async with consuming(source) as consumer:
        await consumer.until(lambda: len(consumer.lines) == 6)
        assert {line[:27] for line in consumer.lines} == {b"2026-11-23T19:51:44.214409Z"}


async def test_a_last_entry_without_end_is_given_up(tmp_path: Path) -> None:
    endless = "#!/bin/sh\ncase $* in *--lines=1*) exec cat /dev/zero;; esac\necho $* >$0.asked; exec sleep 60\n"
    program, asked = script(tmp_path, endless), tmp_path / "journalctl.asked"
    begun = time.monotonic()
    async with consuming(JournaldSource(Journal(program=str(program)), clock=time.time)) as consumer:
        assert time.monotonic() - begun < ANSWER / 2
        await consumer.until(lambda: asked.exists() and "--since=@" in asked.read_text())


async def test_a_child_that_was_ended_is_waited_for() -> None:
    child = Child(["sleep", "60"])
    child.end()
    consumer = Reading(JournaldSource(Journal(), clock=time.time))
    await consumer.until(lambda: not Path(f"/proc/{child.pid}").exists())


async def test_a_journal_that_is_broken_behind_the_known_entry_is_told_once(tmp_path: Path) -> None:
    """journalctl prints the entry at the cursor, and fails on the next one."""
    program, calls = script(tmp_path, STUCK), tmp_path / "journalctl.calls"
    with capture_logs() as said:
        async with consuming(JournaldSource(Journal(program=str(program)), clock=time.time)) as consumer:
            begun = time.monotonic()
            await consumer.until(lambda: len(calls.read_text().splitlines()) >= 6)
            assert time.monotonic() - begun > 0.9  # half of 0.25, 0.5, 1 and 2 s at the least: it is left alone
            assert consumer.state() is State.FAILED
            assert "Bad message" in consumer.source.health.reason
            assert consumer.lines == []
    assert len(said) == 1, said


async def test_what_is_logged_between_start_and_follow_is_delivered(tmp_path: Path, remote: RemoteJournal) -> None:
    remote.write("before the start")
    await written(tmp_path, 1)
    source = source_of(tmp_path)
    await source.start()
    remote.write("a")
    remote.write("b")
    await written(tmp_path, 3)
    stream = source.follow()
    consumer = Reading(source)
    while len(consumer.lines) < 2:
        consumer.arrived.append(await anext(stream))
    assert messages(consumer) == ["a", "b"]
    await source.close()


async def test_a_journal_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    """And one that was empty at the start is read from its first entry."""
    with capture_logs() as said:
        async with consuming(source_of(tmp_path / "later")) as consumer:
            assert consumer.source.health.state is State.WAITING
            assert "does not exist yet" in consumer.source.health.reason
            (tmp_path / "later").mkdir()
            await consumer.until(lambda: consumer.state() is State.FOLLOWING)
            with remote_journal(tmp_path / "later/remote.journal") as journal:
                journal.write("first")
                journal.write("second")
                await consumer.until(lambda: messages(consumer) == ["first", "second"])
    assert len([entry for entry in said if entry["log_level"] == "warning"]) == 1


async def test_units_choose_the_entries(tmp_path: Path, remote: RemoteJournal) -> None:
    async with consuming(source_of(tmp_path, "postfix@-.service", "dovecot.service")) as consumer:
        for unit in ("cron.service", "postfix@-.service", "ssh.service", "dovecot.service"):
            remote.write(unit, _SYSTEMD_UNIT=unit)
        await consumer.until(lambda: len(consumer.lines) == 2)
        assert messages(consumer) == ["postfix@-.service", "dovecot.service"]
    assert consumer.source.name == f"journald:{tmp_path},postfix@-.service,dovecot.service"


async def test_odd_messages_are_one_line_each(tmp_path: Path, remote: RemoteJournal) -> None:
    async with consuming(source_of(tmp_path)) as consumer:
        remote.write(b"\xff\xfe no text")
        remote.write("two\nlines")
        remote.write("x" * (2 * MAX_LINE))
        remote.write("forged", SYSLOG_IDENTIFIER="a: postfix/smtpd[1]", _HOSTNAME="h: ")
        inner = "Nov 23 19:51:44 mail postfix/smtpd[5]: inner"
        remote.write(inner, CONTAINER_NAME="mailserver", SYSLOG_IDENTIFIER="0123456789ab")
        remote.write("last")
        await consumer.until(lambda: b": last\n" in consumer.text)
        parsed = [line for raw in consumer.lines if (line := parse_line(raw, now=time.time()))]
        assert [(line.program, line.message) for line in parsed] == [
            ("postfix/smtpd", "\ufffd\ufffd no text"),
            ("postfix/smtpd", "two#012lines"),
            ("a__postfix/smtpd_1_", "forged"),
            ("postfix/smtpd", "inner"),
            ("postfix/smtpd", "last"),
        ]
        assert consumer.source.health.cut == 1
        assert all(len(lines.text) <= MAX_LINE for lines in consumer.arrived)


async def test_a_killed_journalctl_goes_on_where_it_was(tmp_path: Path, remote: RemoteJournal) -> None:
    """Killed again and again while entries come: each is delivered once."""
    async with consuming(source_of(tmp_path)) as consumer:
        for number in range(2000):
            remote.write(f"entry {number}")
            if number % 250 == 125:
                await kill_follower(consumer, tmp_path)
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        await consumer.until(lambda: len(consumer.lines) >= 2000)
        assert messages(consumer) == [f"entry {number}" for number in range(2000)]
        assert consumer.source.health.gaps == 0


async def test_cancelled_and_followed_again_goes_on_where_it_stopped(tmp_path: Path, remote: RemoteJournal) -> None:
    source = source_of(tmp_path)
    await source.start()
    consumer = Reading(source)
    for number in range(10):
        task = asyncio.create_task(consumer.consume())
        remote.write(f"{number}")
        await consumer.until(lambda number=number: f"{number}" in messages(consumer))  # type: ignore[misc]
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert messages(consumer) == [f"{number}" for number in range(10)]
    await source.close()
    await source.close()
    assert [lines async for lines in source.follow()] == []


async def test_a_vacuum_past_the_reader_is_a_gap(tmp_path: Path) -> None:
    """journalctl is gone for so long that the entry it stood at is vacuumed, and others with it."""
    gate = tmp_path / "gate"
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\n[ -e {gate} ] && exec journalctl "$@"\nexit 1\n')
    program.chmod(0o755)
    gate.touch()
    folder = tmp_path / "journal"
    folder.mkdir()
    async with consuming(source_of(folder, program=str(program))) as consumer:
        with remote_journal(folder / "a.journal") as journal:
            journal.write("seen")
        await consumer.until(lambda: messages(consumer) == ["seen"])
        gate.unlink()
        await kill_follower(consumer, folder)
        await consumer.until(lambda: consumer.state() is State.FAILED)
        (folder / "a.journal").unlink()
        with remote_journal(folder / "b.journal") as journal:
            journal.write("later")
        gate.touch()
        await consumer.until(lambda: messages(consumer) == ["seen", "later"])
        assert consumer.source.health.gaps == 1


async def test_without_journalctl_it_says_so_and_tries_again(tmp_path: Path, remote: RemoteJournal) -> None:
    program = tmp_path / "journalctl"
    with capture_logs() as said:
        async with consuming(source_of(tmp_path, program=str(program))) as consumer:
            health = consumer.source.health
            assert health.state is State.FAILED
            assert "journalctl cannot be run (No such file or directory)" in health.reason
            remote.write("meanwhile")
            program.symlink_to("/usr/bin/journalctl")
            await consumer.until(lambda: messages(consumer) == ["meanwhile"])
            await consumer.until(lambda: consumer.state() is State.FOLLOWING)
    assert len([entry for entry in said if entry["log_level"] == "warning"]) == 1


async def test_without_permission_it_names_the_group(open_folder: Path) -> None:
    with remote_journal(open_folder / "remote.journal") as journal:
        journal.write("secret")
    (open_folder / "remote.journal").chmod(0o600)
    program = open_folder / "journalctl"
    program.write_text('#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups journalctl "$@"\n')
    program.chmod(0o755)
    if os.geteuid() != 0:
        program.unlink()
        program.symlink_to("/usr/bin/journalctl")
        (open_folder / "remote.journal").chmod(0)
    async with consuming(source_of(open_folder, program=str(program))) as consumer:
        assert consumer.source.health.state is State.FAILED
        assert "add the probe's user to the group systemd-journal" in consumer.source.health.reason


async def test_the_child_ends_with_a_probe_that_is_killed(tmp_path: Path, remote: RemoteJournal) -> None:
    script = f"""
        import asyncio, time
        from pathlib import Path
        from probe.evidence.sources.journald import ANSWER, Journal, JournaldSource

        async def main():
            source = JournaldSource(Journal(directory=Path({str(tmp_path)!r})), clock=time.time)
            await source.start()
            async for lines in source.follow():
                print(source._child.pid, flush=True)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        told = asyncio.create_task(asyncio.to_thread(probe.stdout.readline))
        while not told.done():
            remote.write("hello")
            await asyncio.sleep(0.05)
        child = int(told.result())
        assert Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"journalctl\0")
        probe.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "journalctl is still there"
        await asyncio.sleep(0.02)


async def test_nothing_is_left_open(tmp_path: Path, remote: RemoteJournal) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with consuming(source_of(tmp_path)) as consumer:
            remote.write("a")
            await consumer.until(lambda: len(consumer.lines) == 1)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_silent_consumer_leaves_the_entries_in_the_journal(tmp_path: Path) -> None:
    """Nothing is fetched ahead: the pipe fills up, journalctl waits, memory stays flat."""
    with remote_journal(tmp_path / "remote.journal") as journal:
        source = source_of(tmp_path)
        await source.start()
        for number in range(20_000):
            journal.write(f"entry {number}")
    stream = source.follow()
    consumer = Reading(source)
    consumer.arrived.append(await anext(stream))
    assert len(consumer.lines) < 5000
    while len(consumer.lines) < 20_000:
        consumer.arrived.append(await anext(stream))
    assert messages(consumer) == [f"entry {number}" for number in range(20_000)]
    await source.close()


async def test_real_lines_say_the_same_through_the_journal(tmp_path: Path, remote: RemoteJournal) -> None:
    """Postfix names itself, Dovecot's lines all come from `dovecot`: so do both through syslog(3)."""
    real = [sample for sample in samples() if sample.file.startswith(("postfix", "dovecot", "faults"))]
    async with consuming(source_of(tmp_path)) as consumer:
        for sample in real:
            line = parse_line(sample.raw, now=NOW)
            assert line is not None
            if "postfix" in line.program:
                remote.write(line.message, SYSLOG_IDENTIFIER=line.program, SYSLOG_PID=str(line.pid))
            else:
                remote.write(f"{line.program}: {line.message}", SYSLOG_IDENTIFIER="dovecot")
        await consumer.until(lambda: len(consumer.lines) == len(real))
    for raw, sample in zip(consumer.lines, real, strict=True):
        expected = {key: value for key, value in (sample.expected or {}).items() if key != "pattern"}
        assert [plain(found.event) for found in events(raw, now=NOW)] == ([expected] if expected else [])


@needs_root
async def test_rotation_and_vacuum_of_a_real_journald(daemon: Journald) -> None:
    daemon.syslog("postfix/smtpd[7]", "before")
    daemon.control("--sync")
    async with consuming(source_of(daemon.directory)) as consumer:
        for number in range(300):
            daemon.syslog("postfix/smtpd[7]", f"entry {number}")
            if number % 50 == 25:
                await asyncio.to_thread(daemon.control, "--rotate")
            if number % 100 == 75:
                await consumer.until(lambda number=number: f"entry {number}" in messages(consumer))  # type: ignore[misc]
                await asyncio.to_thread(daemon.control, "--vacuum-files=2")
        await consumer.until(lambda: "entry 299" in messages(consumer))
        assert [text for text in messages(consumer) if text.startswith("entry ")] == [f"entry {n}" for n in range(300)]
        assert consumer.source.health.gaps == 0


@needs_root
async def test_both_ways_into_a_real_journald(daemon: Journald) -> None:
    async with consuming(source_of(daemon.directory)) as consumer:
        daemon.syslog("dovecot", "imap-login: Login: user=<probe>, rip=192.168.1.10")
        daemon.native({"MESSAGE": b"\xff two\nlines", "SYSLOG_IDENTIFIER": b"postfix/smtpd", "SYSLOG_PID": b"12"})
        await consumer.until(lambda: "\ufffd two#012lines" in messages(consumer))
        parsed = [line for raw in consumer.lines if (line := parse_line(raw, now=time.time()))]
        ours = [line for line in parsed if "journald" not in line.program]
        assert [(line.program, line.pid, line.message) for line in ours] == [
            ("imap-login", None, "Login: user=<probe>, rip=192.168.1.10"),
            ("postfix/smtpd", 12, "\ufffd two#012lines"),
        ]
        assert all(line.stamp and abs(line.stamp.seconds - time.time()) < 60 for line in ours)


def test_export_format_is_what_the_tests_say() -> None:
    assert b"MESSAGE=plain\n\n" in exported("plain")
    assert b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\n" in exported("a\nb")
