"""Journals written by systemd's own tools: by systemd-journal-remote from export format, and by a journald of our own.

The journald lives in a mount namespace where /run is its own, so that the machine's journal stays out of it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

REMOTE = Path("/lib/systemd/systemd-journal-remote")
DAEMON = Path("/lib/systemd/systemd-journald")
BOOT, MACHINE = "1" * 32, "2" * 32
USABLE = shutil.which("journalctl") is not None and REMOTE.exists()

_WORLD = """
mount -t tmpfs none /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/system /run/systemd/journald.conf.d
mount --bind "$0/journal" /run/log/journal
mount --bind "$0/sockets" /run/systemd/journal
printf '[Journal]\\nStorage=volatile\\nRateLimitIntervalSec=0\\nReadKMsg=no\\nAudit=no\\n' \
    >/run/systemd/journald.conf.d/test.conf
exec {daemon}
"""


def exported(message: str | bytes, *, at: float | None = None, **fields: str) -> bytes:
    """An entry in export format; a message that is no text goes as a binary field."""
    microseconds = int((time.time() if at is None else at) * 1e6)
    known = {
        "__REALTIME_TIMESTAMP": str(microseconds),
        "__MONOTONIC_TIMESTAMP": str(microseconds % 10**12),
        "_BOOT_ID": BOOT,
        "_MACHINE_ID": MACHINE,
        "_HOSTNAME": "mail",
        "SYSLOG_IDENTIFIER": "postfix/smtpd",
        "_PID": "99",
    }
    text = "".join(f"{name}={value}\n" for name, value in {**known, **fields}.items()).encode()
    raw = message.encode() if isinstance(message, str) else message
    if b"\n" in raw or not raw.isascii():
        return text + b"MESSAGE\n" + len(raw).to_bytes(8, "little") + raw + b"\n\n"
    return text + b"MESSAGE=" + raw + b"\n\n"


class RemoteJournal:
    """A journal file that grows as entries are written."""

    def __init__(self, file: Path) -> None:
        self._process = subprocess.Popen(
            [str(REMOTE), f"--output={file}", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def write(self, message: str | bytes, *, at: float | None = None, **fields: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(exported(message, at=at, **fields))
        self._process.stdin.flush()

    def close(self) -> None:
        """All that was written is in the file."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0


@contextmanager
def remote_journal(file: Path) -> Iterator[RemoteJournal]:
    journal = RemoteJournal(file)
    try:
        yield journal
    finally:
        journal.close()


class Journald:
    """A running systemd-journald whose journal is below `directory`."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "journal"
        self._sockets = folder / "sockets"
        for made in (self.directory, self._sockets):
            made.mkdir()
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", _WORLD.format(daemon=DAEMON), str(folder)], stderr=subprocess.DEVNULL
        )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._until_it_listens()

    def _until_it_listens(self) -> None:
        deadline = time.monotonic() + 10
        native, syslog = self._sockets / "socket", self._sockets / "dev-log"
        while True:
            try:
                for address in (native, syslog):  # it makes them one after the other, and in no order that it promises
                    self._socket.connect(str(address))
                return
            except OSError:
                assert self._process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def syslog(self, tag: str, message: str) -> None:
        """What syslog(3) sends."""
        self._socket.send(f"<22>Nov 23 19:51:44 {tag}: {message}".encode())

    def native(self, fields: Mapping[str, bytes]) -> None:
        """What sd_journal_send(3) sends."""
        text = b"".join(
            name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n" for name, value in fields.items()
        )
        self._socket.sendto(text, str(self._sockets / "socket"))

    def control(self, *options: str) -> None:
        """journalctl, as the administrator of this journald runs it: --rotate, --vacuum-files=…"""
        inside = ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", "journalctl", *options]
        subprocess.run(inside, check=True, capture_output=True)

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def journald() -> Iterator[Journald]:
    with TemporaryDirectory(prefix="mpj") as folder:
        daemon = Journald(Path(folder))
        try:
            yield daemon
        finally:
            daemon.close()
