"""The command `probe` without the wait for its start: a process has loaded it once, and forks for each run.

Loading is most of what a round or a daemon's start costs here, and the tests ask for some hundred of them. What runs is
the command's own main, in a process of its own, with arguments, environment, streams and an exit code as ever. The
installed command starts in tests/test_cli*.py, in the daemons and watches of the lab, and behind anything else.

Rule 1: the process that forks has no thread, and what it has loaded is modules alone.
Rule 2: where it was started, there every run is: in that network, and with those mounts.
Rule 3: a run's parent is a fork that only waits for its end, so that runs may be side by side.
Rule 4: a run ends with whoever asked for it, also after a crash.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ROUNDS = (
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
"""Modules of rounds."""

DAEMONS = (*ROUNDS, "probe.service.daemon", "probe.service.run")
"""And of `probe run`."""

LONGEST = 1 << 17
"""Octets of a request: arguments and an environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Descriptors of a run's standard streams."""

    given: int
    out: int
    err: int


class Run:
    """A process of the command, to be used as one of asyncio's; it is no child of this process."""

    def __init__(self, ending: socket.socket) -> None:
        self._ending = ending
        self._code: int | None = None
        self.pid = int(ending.recv(LONGEST))

    @property
    def returncode(self) -> int | None:
        """As of subprocess; None while it runs."""
        if self._code is None:
            self._ending.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                self._end(self._ending.recv(LONGEST))
        return self._code

    def send_signal(self, number: int) -> None:
        """To the process, if there still is one."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        if self.returncode is None:
            self._end(await asyncio.get_running_loop().sock_recv(self._ending, LONGEST))
        return self._ended()

    def wait_for(self, seconds: float) -> int:
        """The same, without a loop; a TimeoutError if it is not over by then."""
        if self.returncode is None:
            self._ending.settimeout(seconds)
            self._end(self._ending.recv(LONGEST))
        return self._ended()

    def _ended(self) -> int:
        assert self._code is not None
        return self._code

    def _end(self, told: bytes) -> None:
        self._ending.close()
        self._code = int(told or -signal.SIGKILL)  # who would have told went with it


class Loaded:
    """The command, loaded behind these words of a command line (`ip netns exec …`)."""

    def __init__(self, behind: Sequence[str] = (), modules: Sequence[str] = ROUNDS) -> None:
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*behind, sys.executable, "-m", "tests.loaded", str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=REPOSITORY,
                start_new_session=True,
            )

    def start(
        self,
        *arguments: str,
        streams: Streams,
        cwd: Path = REPOSITORY,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Start `probe` with these arguments; without an environment of its own it has that of whoever loaded it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            request = json.dumps([str(cwd), environment, arguments]).encode()
            socket.send_fds(self._door, [request], [streams.given, streams.out, streams.err, theirs.fileno()])
        return Run(ours)

    def run(
        self,
        *arguments: str,
        given: bytes = b"",
        cwd: Path = REPOSITORY,
        environment: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """What `probe` with these arguments said; a TimeoutError if it is not over after so many seconds."""
        (of_given, give), (out, to_out), (err, to_err) = os.pipe(), os.pipe(), os.pipe()
        try:
            streams = Streams(given=of_given, out=to_out, err=to_err)
            run = self.start(*arguments, streams=streams, cwd=cwd, environment=environment)
        finally:
            for end in (of_given, to_out, to_err):
                os.close(end)
        with ThreadPoolExecutor(3) as threads:
            threads.submit(_give, give, given)
            output, errors = (threads.submit(_read, end) for end in (out, err))
            try:
                code = run.wait_for(timeout)
            except BaseException:
                run.kill()
                run.wait_for(timeout)
                raise
            return subprocess.CompletedProcess(["probe", *arguments], code, output.result(), errors.result())

    def close(self) -> None:
        """End it, and whatever it runs."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended with its namespace
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._door.close()


@functools.cache
def shared() -> Loaded:
    """The one of this process's tests, for daemons too."""
    loaded = Loaded(modules=DAEMONS)
    atexit.register(loaded.close)
    return loaded


def _give(descriptor: int, octets: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as stream:
        stream.write(octets)


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as stream:
        return stream.read()


def _serve(door: socket.socket) -> list[str]:
    """Fork for every request; what this process is to run, once it is such a fork."""
    while True:
        request, descriptors, *_ = socket.recv_fds(door, LONGEST, 4)
        if not request:
            sys.exit()
        if not os.fork():
            door.close()
            return _fork(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _fork(request: bytes, descriptors: Sequence[int]) -> list[str]:
    """Tell of a run's process and of its end; in that process, return its arguments."""
    *streams, ending = descriptors
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(ConnectionError):
            os.write(ending, b"%d" % child)
            _end_with(ending, child)
            os.write(ending, b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    for standard, stream in enumerate(streams):
        os.dup2(stream, standard)
        os.close(stream)
    os.close(ending)
    folder, environment, arguments = json.loads(request)
    os.chdir(folder)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    return [str(one) for one in arguments]


def _end_with(ending: int, child: int) -> None:
    """Until the child has ended; at once, where nobody waits to be told any more."""
    either = select.poll()
    either.register(ended := os.pidfd_open(child), select.POLLIN)
    either.register(ending, 0)  # which tells of its other end's
    if (ended, select.POLLIN) not in either.poll():
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what a fork does not look at it need not copy
    sys.argv = ["probe", *_serve(socket.socket(fileno=int(sys.argv[1])))]
    importlib.import_module("probe.cli").main()
