"""A child process that writes lines: started, read when asked, ended with us.

- The child's output is a pipe with nobody else at its reading end. When this process ends by any door the pipe
  breaks, and a child that watches its output (journalctl does, since systemd 238) ends too.
- What it complains of on standard error is read as it comes, so that it never blocks there; the last of it is kept.
- It is killed and then waited for elsewhere: one that hangs in the kernel must not hold the event loop.
- asyncio's own subprocesses read ahead of their consumer; this one leaves everything in the pipe.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from threading import Thread

from probe.evidence.sources.descriptor import Wait, chunk_of

_COMPLAINTS = 4096


class Child:
    """A running child. Raises OSError where it cannot be started."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours, its arguments are no shell's
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None  # noqa: S101 - both are pipes
        assert self._process.stderr is not None  # noqa: S101
        self._output, self._errors = self._process.stdout.fileno(), self._process.stderr.fileno()
        for descriptor in (self._output, self._errors):
            os.set_blocking(descriptor, False)
        self._watched: tuple[int, ...] = (self._output, self._errors)
        self.pid = self._process.pid
        self.complaints = b""
        self._wait = Wait()

    async def read(self, room: int, seconds: float) -> bytes | None:
        """What it wrote, at most `room` bytes; empty once it has ended, None if it is silent for so many seconds."""
        while not self._wait.ended:
            chunk = chunk_of(self._output, room)
            self._listen()
            if chunk is not None:
                return chunk
            if not await self._wait.readable(*self._watched, seconds=seconds):
                return b"" if self._wait.ended else None
        return b""

    def end(self) -> None:
        """End it and let go of everything; a running `read` comes to its end."""
        self._wait.end()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        Thread(target=self._process.wait, name=f"reaper of {self.pid}", daemon=True).start()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _listen(self) -> None:
        while self._errors in self._watched and (heard := chunk_of(self._errors)) is not None:
            self.complaints = (self.complaints + heard)[-_COMPLAINTS:]
            if not heard:
                self._watched = (self._output,)
