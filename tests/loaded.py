"""The command `probe` without the wait for its start: a process has loaded it once, and forks for each run.

Loading is most of what a round costs here, and the lab asks for some hundred rounds. What runs is the command's own
main, in a process of its own, with arguments, streams and an exit code as ever; the installed command starts in
tests/test_cli*.py, in every daemon of the tests, and where the lab has to put something before it.

Rule 1: the process that forks has no thread, and what it has loaded is modules alone.
Rule 2: where it was started, there every run is: in the network, with the mounts and the environment of then.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MODULES = (
    "probe.cli",
    "probe.cli_explain",
    "probe.evidence.sources.file",
    "probe.report.json",
    "probe.report.progress",
    "probe.report.reading",
    "probe.report.table",
    "probe.service.explain",
    "probe.service.once",
)
LONGEST_REQUEST = 1 << 16


class Loaded:
    """The command, loaded behind these words of a command line (`ip netns exec …`); one run at a time."""

    def __init__(self, behind: Sequence[str] = ()) -> None:
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*behind, sys.executable, "-m", "tests.loaded", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=REPOSITORY,
                start_new_session=True,
            )

    def run(self, *arguments: str, cwd: Path = REPOSITORY, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """What `probe` with these arguments said; a TimeoutError if it is not over after so many seconds."""
        said, told = os.pipe(), os.pipe()
        request = json.dumps([str(cwd), *arguments]).encode()
        socket.send_fds(self._door, [request], [said[1], told[1]])
        for end in (said[1], told[1]):
            os.close(end)
        self._door.settimeout(timeout)
        with ThreadPoolExecutor(2) as readers:
            output, errors = (readers.submit(_read, end) for end in (said[0], told[0]))
            try:
                code = int(self._door.recv(LONGEST_REQUEST))
            except BaseException:
                self._end()
                raise
            return subprocess.CompletedProcess(["probe", *arguments], code, output.result(), errors.result())

    def close(self) -> None:
        """End it, and a run that is under way."""
        self._end()
        self._door.close()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have ended with its namespace
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as stream:
        return stream.read()


def _serve(door: socket.socket) -> list[str]:
    """Fork for every request; what this process is to run, once it is such a fork."""
    while True:
        request, streams, *_ = socket.recv_fds(door, LONGEST_REQUEST, 2)
        if not request:
            sys.exit()
        if not (child := os.fork()):
            for standard, stream in zip((1, 2), streams, strict=True):
                os.dup2(stream, standard)
                os.close(stream)
            door.close()
            folder, *arguments = (str(word) for word in json.loads(request))
            os.chdir(folder)
            return arguments
        for stream in streams:
            os.close(stream)
        door.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what a fork does not look at it need not copy
    sys.argv = ["probe", *_serve(socket.socket(fileno=int(sys.argv[1])))]
    importlib.import_module("probe.cli").main()
