"""A machine of its own in namespaces: this machine's systemd as process 1, on an overlay of this machine's files.

Rule 1: nothing that happens inside reaches the machine outside. Writes go to a file system in memory that ends with
        the namespace; /sys and /proc/sys are read-only; there is no network but loopback; control groups are below one
        of its own.
Rule 2: nothing of this machine starts in there: no unit of /etc, no mount of fstab, and of the system's own units only
        what the unit under test asks for.
Rule 3: the root is pivoted and not only changed, for a process in a changed root gets no user namespace.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.lab.servers import wait_until

NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
EMPTY: Mapping[str, str] = MappingProxyType({})
TIED = ("setpriv", "--pdeathsig", "KILL")
"""It ends with the tests, whatever ends them."""
TOOLS = ("unshare", "setpriv", "nsenter", "pivot_root", "ip", "systemctl", "/lib/systemd/systemd")
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
echo 0123456789abcdef0123456789abcdef >"$PLACE/machine-id"
touch "$PLACE/nothing"
for bound in $BOUND; do
  mkdir -p "$PLACE/root/${bound#*:}"
  mount --bind -o ro "${bound%%:*}" "$PLACE/root/${bound#*:}"
done
cd "$PLACE/root"
mkdir -p old var/log/journal
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for empty in run tmp etc/systemd/system usr/lib/systemd/system/sysinit.target.wants \
    usr/lib/systemd/system/local-fs.target.wants usr/lib/systemd/system/timers.target.wants var/log/journal opt; do
  mkdir -p "$empty" && mount -t tmpfs -o mode=755 tmpfs "$empty"
done
chmod 1777 tmp
[ ! -e etc/fstab ] || mount --bind "$PLACE/nothing" etc/fstab
touch etc/machine-id && mount --bind "$PLACE/machine-id" etc/machine-id
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do touch dev/$node && mount --bind /dev/$node dev/$node; done
mkdir dev/shm dev/pts && mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts && ln -s pts/ptmx dev/ptmx
cat >etc/systemd/system/machine.target <<END
[Unit]
Requires=systemd-journald.service
After=systemd-journald.service
END
ip link set lo up
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=machine.target --log-target=journal --show-status=no
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A running one. `init` is its process 1 as seen from outside."""

    init: int

    def run(self, *words: str, check: bool = True, variables: Mapping[str, str] = EMPTY) -> str:
        """Standard output of a command inside, which sees these variables of the environment and few others."""
        enter = ["nsenter", f"--target={self.init}", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
        surroundings = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **variables}
        enter += ["env", "-i", "--chdir=/", *(f"{name}={value}" for name, value in surroundings.items())]
        done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=300, check=False)
        if check and done.returncode:
            told = done.stdout[-4000:] + done.stderr[-4000:]
            journal = subprocess.run(
                [*enter, "journalctl", "--lines=25", "--no-pager"], capture_output=True, check=False
            )
            told += journal.stdout.decode("utf-8", "replace")
            raise RuntimeError(f"{' '.join(words)[:200]}: {done.returncode}\n{told}")
        return done.stdout

    def shell(self, script: str, variables: Mapping[str, str] = EMPTY) -> str:
        """The same of a shell script, which ends with its first fault."""
        return self.run("bash", "-euo", "pipefail", "-c", script, variables=variables)

    def path(self, inside: str) -> Path:
        """Where a file of the inside is seen from outside."""
        return Path(f"/proc/{self.init}/root{inside}")


def obstacle() -> str | None:
    """Why there can be no such machine here, or None."""
    if os.geteuid() != 0:
        return "a machine of its own needs root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"missing on this machine: {', '.join(missing)}"
    return None if _groups() else "no unified hierarchy of control groups is mounted here"


@contextlib.contextmanager
def machine(bound: Mapping[Path, str]) -> Iterator[Machine]:
    """Boot one. `bound`: directories of the outside, and where they are read inside."""
    groups = _groups()
    assert groups is not None
    with tempfile.TemporaryDirectory() as place:
        group = groups / f"mailprobe-{os.getpid()}"
        group.mkdir()
        surroundings = {**os.environ, "PLACE": place, "GROUP": str(group), "BOOT": BOOT}
        surroundings["BOUND"] = " ".join(f"{outside}:{inside}" for outside, inside in bound.items())
        enter = f'echo $$ >"$GROUP/cgroup.procs"; exec unshare {" ".join(NAMESPACES)} --fork --kill-child sh -c "$BOOT"'
        log = Path(place).with_suffix(".log")
        with (
            log.open("w+") as told,
            subprocess.Popen([*TIED, "sh", "-c", enter], env=surroundings, stderr=told) as booting,
        ):
            try:
                yield _booted(booting, log)
            finally:
                booting.kill()
                booting.wait()
                wait_until(lambda: _gone(group), "the machine's control groups")
                log.unlink()


def _booted(booting: subprocess.Popen[bytes], log: Path) -> Machine:
    def up() -> bool:
        if booting.poll() is not None:
            raise RuntimeError(f"the machine did not boot: {log.read_text()[-2000:]}")
        init = _child(booting.pid)
        # The name changes with the last step of BOOT.
        named = init and Path(f"/proc/{init}/comm").read_text().strip() == "systemd"
        return bool(named) and Path(f"/proc/{init}/root/run/systemd/private").exists()

    wait_until(up, "systemd of the machine")
    found = Machine(_child(booting.pid) or 0)
    found.run("systemctl", "start", "machine.target")
    found.run("systemd-tmpfiles", "--create", "--prefix=/run/log/journal", "--prefix=/var/log/journal")
    return found


def _child(pid: int) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def _groups() -> Path | None:
    for row in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = row.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _gone(group: Path) -> bool:
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()
    return not group.exists()
