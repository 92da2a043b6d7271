"""A real rsyslogd, with its own configuration, queue and state in a directory of its owner's."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
USABLE = Path(RSYSLOGD).exists()

_HEAD = """\
global(workDirectory="{here}/state")
main_queue(queue.type="Direct")
module(load="imfile" mode="inotify")
"""
_INPUT = """\
input(type="imfile" file="{file}" tag="raw" reopenOnTruncate="on" readTimeout="0"
      persistStateInterval="0" persistStateAfterSubmission="on")
"""
"""What was read counts as read when it is handed on; with no queue in between that is when it is sent.

An interval of lines would note each line as it is read, before the batch is handed on: a kill in between loses those.
"""


_RAW = 'template(name="raw" type="string" string="<22>%msg%")\n'
"""The lines have their own headers already: what is sent is a priority and the line as it stands in the file."""


class Rsyslog:
    """Reads files as they grow and sends their lines on; `prefix` is a command that runs it somewhere else."""

    def __init__(self, here: Path, files: Sequence[Path], action: str, *, prefix: Sequence[str] = ()) -> None:
        (here / "state").mkdir(parents=True, exist_ok=True)
        self._prefix = prefix
        inputs = "".join(_INPUT.format(file=file) for file in files)
        self._configuration = here / "rsyslog.conf"
        self._configuration.write_text(_HEAD.format(here=here) + _RAW + inputs + action + "\n")
        self._pid_file = here / "pid"
        self.start()

    def start(self) -> None:
        """Begin, or go on after an end, from where the state that is left says."""
        self._pid_file.unlink(missing_ok=True)
        command = [*self._prefix, RSYSLOGD, "-n", "-f", str(self._configuration), "-i", str(self._pid_file)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._pid_file.exists():
            assert self.process.poll() is None, "rsyslogd refuses its configuration"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self) -> None:
        """End without a word."""
        self.process.kill()
        self.process.wait()
        self._pid_file.unlink(missing_ok=True)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_DISK_QUEUE = (
    'queue.type="LinkedList" queue.filename="forward" queue.saveOnShutdown="on" queue.timeoutShutdown="10000" '
    'action.resumeRetryCount="-1" action.resumeInterval="1"'
)


_NO_QUEUE = 'queue.type="Direct" action.resumeRetryCount="-1" action.resumeInterval="1"'


def forwarding(port: int, protocol: str, framing: str = "traditional", *, queued: bool = True) -> str:
    """An omfwd action; over TCP with a queue that outlives the receiver, or none, so that the files are the queue."""
    stream = f'TCP_Framing="{framing}" {_DISK_QUEUE if queued else _NO_QUEUE}' if protocol == "tcp" else ""
    return f'action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{protocol}" template="raw" {stream})'
