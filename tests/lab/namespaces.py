"""The lab's network: six namespaces, the links between them, and their removal, also of what dead owners left.

Rule 1: nothing of the host changes.  Both ends of every link are created inside the lab's namespaces.
Rule 2: every namespace is called mp<owner's pid><letter>-<role>, and every lab has a directory of the name before
        the dash with its owner in it, so that anybody can tell which labs are orphans.
Rule 3: whoever is in a lab's namespace when the lab ends is ended with it, and nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import string
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

ROLES = ("vantage", "router", "lan", "node1", "node2", "pod")
BASE = Path("/run/mailprobe-lab")
NETNS = Path("/run/netns")
NAME = re.compile(r"^mp(\d+)[a-z]-[a-z0-9]+$")
CLONE_NEWNET = 0x40000000
_letters = itertools.cycle(string.ascii_lowercase)


def new_name() -> str:
    """A name for a new lab of this process, with its directory, in which its owner is written down."""
    name = f"mp{os.getpid()}{next(_letters)}"
    directory = BASE / name
    directory.mkdir(parents=True)
    (directory / "owner").write_text(f"{os.getpid()} {_start_time(os.getpid())}\n")
    return name


def create(name: str) -> None:
    for role in ROLES:
        command("ip", "netns", "add", f"{name}-{role}")


def command(*arguments: str, text: str | None = None) -> str:
    """Run a command of the host; its failure is ours, with all it said."""
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}{done.stdout}\n{text or ''}"
        )
    return done.stdout


T = TypeVar("T")


def inside(namespace: str, act: Callable[[], T]) -> T:
    """What `act` returns when called in the namespace.

    A thread of its own enters and ends there, so the caller's threads stay where they are; a socket made there
    belongs to that namespace for ever.
    """

    def enter_and_act() -> T:
        descriptor = os.open(NETNS / namespace, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
        finally:
            os.close(descriptor)
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter_and_act).result()


def socket_in(namespace: str, family: socket.AddressFamily) -> socket.socket:
    return inside(namespace, lambda: socket.socket(family, socket.SOCK_STREAM))


def listening_ports(namespace: str) -> frozenset[int]:
    """TCP ports somebody listens on, read from the kernel: to connect and hang up would leave marks in the logs."""
    tables = inside(namespace, lambda: [Path(f"/proc/thread-self/net/{t}").read_text() for t in ("tcp", "tcp6")])
    rows = (row.split() for table in tables for row in table.splitlines()[1:])
    return frozenset(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A")


def pids_in(namespace: str) -> tuple[int, ...]:
    if not (NETNS / namespace).exists():
        return ()
    return tuple(int(pid) for pid in command("ip", "netns", "pids", namespace).split())


def remove(name: str) -> None:
    """End everybody inside the lab's namespaces, then remove the namespaces and the lab's directory."""
    namespaces = [f"{name}-{role}" for role in ROLES]
    deadline = time.monotonic() + 10
    while (pids := [pid for namespace in namespaces for pid in pids_in(namespace)]) and time.monotonic() < deadline:
        for pid in pids:
            _kill(pid)
        time.sleep(0.01)
    for namespace in namespaces:
        if (NETNS / namespace).exists():
            command("ip", "netns", "delete", namespace)
    shutil.rmtree(BASE / name, ignore_errors=True)


def orphans() -> Iterator[str]:
    """Names of labs whose owner is no more."""
    present = {path.name for path in BASE.glob("mp*")}
    present |= {path.name.partition("-")[0] for path in NETNS.glob("mp*") if NAME.match(path.name)}
    return (name for name in sorted(present) if not _owner_lives(name))


def reap() -> list[str]:
    """Remove what dead owners left behind; the names of the labs removed.  One at a time on a machine."""
    BASE.mkdir(parents=True, exist_ok=True)
    with (BASE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        dead = list(orphans())
        for name in dead:
            remove(name)
    return dead


def _owner_lives(name: str) -> bool:
    try:
        pid, started = (BASE / name / "owner").read_text().split()
    except (OSError, ValueError):
        # Neither written yet nor whole: only the number in the name can tell.
        return Path(f"/proc/{name[2:-1]}").exists()
    return _start_time(int(pid)) == started


def _start_time(pid: int) -> str | None:
    """Clock ticks from boot to the start of the process: with the pid, a name that is never used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may go by itself
        os.kill(pid, signal.SIGKILL)
