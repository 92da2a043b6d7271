"""Writes log files into a journal as syslog(3) would have: from their end on, each line an entry, in export format.

python -m tests.lab.journal_shipper JOURNAL FILE...     until it is ended; JOURNAL is systemd-journal-remote's to write
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from probe.evidence.line import parse_line
from tests.evidence.sources.journals import REMOTE, exported

POLL = 0.005


def main(journal: str, *files: str) -> None:
    followed = [Path(name).open("rb") for name in files]  # noqa: SIM115 - until the end
    for file in followed:
        file.seek(0, 2)
    print("reading", flush=True)
    with subprocess.Popen([str(REMOTE), f"--output={journal}", "-"], stdin=subprocess.PIPE) as remote:
        assert remote.stdin is not None
        while True:
            for file in followed:
                while (line := file.readline()).endswith(b"\n"):
                    remote.stdin.write(entry_of(line))
                    remote.stdin.flush()
                file.seek(-len(line), 1)
            time.sleep(POLL)


def entry_of(raw: bytes) -> bytes:
    """Postfix names each of its programs; Dovecot's lines all come from `dovecot`."""
    line = parse_line(raw, now=time.time())
    if line is None:
        return b""
    if line.program.startswith("postfix"):
        return exported(line.message, SYSLOG_IDENTIFIER=line.program, SYSLOG_PID=str(line.pid))
    return exported(f"{line.program}: {line.message}", SYSLOG_IDENTIFIER="dovecot")


if __name__ == "__main__":
    main(*sys.argv[1:])
