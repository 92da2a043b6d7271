"""The server generations a machine can offer: its own packages, and Debian 13's out of a debootstrap root.

Rule 1: a generation is called after the distribution its binaries come from, never after what one wishes it were.
Rule 2: what cannot be used is said with its reason; nobody skips in silence.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("ip", "iptables-restore", "ip6tables-restore", "conntrack", "haproxy", "openssl", "unshare", "mount")
SERVERS = ("usr/sbin/postfix", "usr/sbin/dovecot", "usr/lib/dovecot/imap-login")
INSTALL = "run tests/lab/install.sh as root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One set of real mail servers."""

    name: str
    root: Path
    postfix: str
    dovecot: str

    @property
    def is_host(self) -> bool:
        return self.root == Path("/")

    @property
    def dovecot_version(self) -> tuple[int, ...]:
        return _numbers(self.dovecot)

    def ids(self, user: str) -> tuple[int, int]:
        """uid and gid of a user of that root, which are not those of the machine."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return int(uid), int(gid)
        raise RuntimeError(f"no user {user} in {self.root}/etc/passwd")

    def group(self, name: str) -> int:
        for line in (self.root / "etc/group").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split(":")[2])
        raise RuntimeError(f"no group {name} in {self.root}/etc/group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Why a generation cannot be used here."""

    name: str
    reason: str


def cache() -> Path:
    return Path(os.environ.get("MAILPROBE_LAB_CACHE", "/var/cache/mailprobe-lab/trixie"))


@functools.cache
def find_all() -> dict[str, Generation | Unusable]:
    """Every generation by name: usable ones ready to run, the others with the reason."""
    host = host_name()
    roots = {host: Path("/")} if host == "debian13" else {host: Path("/"), "debian13": cache()}
    return {name: _examine(name, root) for name, root in roots.items()}


def usable() -> dict[str, Generation]:
    return {name: found for name, found in find_all().items() if isinstance(found, Generation)}


def host_name() -> str:
    """The distribution of this machine in one word, as debian12 or ubuntu24.04."""
    fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return fields.get("ID", "linux").strip('"') + fields.get("VERSION_ID", "").strip('"')


def _examine(name: str, root: Path) -> Generation | Unusable:
    if reason := _obstacle(root):
        return Unusable(name=name, reason=reason)
    return Generation(name=name, root=root, postfix=_postfix_version(root), dovecot=_dovecot_version(root))


def _obstacle(root: Path) -> str | None:
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"missing on this machine: {', '.join(missing)}; {INSTALL}"
    if missing := [path for path in SERVERS if not (root / path).exists()]:
        return f"missing in {root}: {', '.join(missing)}; {INSTALL}"
    return _namespaces_forbidden()


@functools.cache
def _namespaces_forbidden() -> str | None:
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else None


def _postfix_version(root: Path) -> str:
    return _output(root, "postconf", "-dh", "mail_version").split()[0]


def _dovecot_version(root: Path) -> str:
    return _output(root, "dovecot", "--version").split()[0]


def _output(root: Path, *arguments: str) -> str:
    command = arguments if root == Path("/") else ("chroot", str(root), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
