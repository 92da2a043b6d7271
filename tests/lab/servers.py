"""Real servers of one lab: their files below the lab's directory, and their start inside the namespaces.

Rule 1: the lab's directory has the same path inside a generation's root as outside, so one configuration fits both.
Rule 2: what must be mounted is mounted in the mount namespace of the started process and goes with it.
Rule 3: a server is up when the kernel says that its ports are listened on; connecting would leave marks.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import dovecot, haproxy, namespaces, postfix
from tests.lab.addresses import DOVECOT_PORTS, POD, POSTFIX_PORTS, SERVER_NAME, STOCK, VANTAGE_NAMED, VIP
from tests.lab.certificates import Certificates
from tests.lab.generations import Generation

START_SECONDS = 30.0
DIRECTORIES = (
    "log",
    "etc",
    "mail",
    "mail/probe",
    "mail/probe/cur",
    "mail/probe/new",
    "mail/probe/tmp",
    "mail/home",
    "postfix/etc",
    "postfix/spool",
    "postfix/data",
    "dovecot/run",
    "dovecot/state",
    "haproxy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What differs between labs besides their generation."""

    greet_wait: int = 1
    first_contact_wait: int = 3
    port_logging: bool = False
    greylist_seconds: float = 2.0
    login_processes: dovecot.LoginProcesses = dovecot.LoginProcesses.DEFAULT


def wait_until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Postfix and Dovecot in the pod, HAProxy on the router."""

    name: str
    generation: Generation
    certificates: Certificates
    choices: Choices

    @property
    def directory(self) -> Path:
        return namespaces.BASE / self.name

    @property
    def postfix_log(self) -> Path:
        return self.directory / "log/postfix.log"

    @property
    def dovecot_log(self) -> Path:
        return self.directory / "log/dovecot.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start all servers and wait for their ports; the router's HAProxy, which is our child."""
        self._write()
        here = shlex.quote(str(self.directory))
        self.in_pod(f"dovecot -c {here}/dovecot/dovecot.conf")
        self.in_pod(f"postfix -c {here}/postfix/etc start")
        proxies = self.on_router(haproxy.proxies(), "proxies")
        wait_until(
            lambda: namespaces.listening_ports(f"{self.name}-pod") >= DOVECOT_PORTS | POSTFIX_PORTS,
            "the pod's ports",
        )
        wait_until(
            lambda: set(STOCK.values()) <= namespaces.listening_ports(f"{self.name}-router"),
            "HAProxy's ports",
        )
        return proxies

    def in_pod(self, command: str) -> str:
        """Run a shell command in the pod, in the generation's root, as the host `mail`."""
        arguments = ("ip", "netns", "exec", f"{self.name}-pod", "unshare", "--uts", "sh", "-e")
        return namespaces.command(*arguments, text=self._entrance() + command + "\n")

    def on_router(self, configuration: str, title: str) -> subprocess.Popen[bytes]:
        """Start an HAProxy on the router, which runs until it is ended or the lab is."""
        file = self.directory / f"haproxy/{title}.cfg"
        file.write_text(configuration)
        with (self.directory / f"log/haproxy-{title}.log").open("ab") as log:
            arguments = ["ip", "netns", "exec", f"{self.name}-router", "haproxy", "-db", "-f", str(file)]
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _entrance(self) -> str:
        root, here = shlex.quote(str(self.generation.root)), shlex.quote(str(self.directory))
        # postfix-script and others write to standard output long after we stopped listening.
        lines = ["hostname mail", f"exec >>{here}/log/start.log 2>&1"]
        if self.generation.is_host:
            lines += [f"mount --bind {here}/etc/{file} /etc/{file}" for file in ("hosts", "resolv.conf")]
            return "\n".join([*lines, "exec "])
        lines += [
            f"mount -t tmpfs none {root}/run",
            f"mkdir -p {root}{here}",
            f"mount --bind {here} {root}{here}",
            f"mount -t proc none {root}/proc",
            f"mount --rbind /dev {root}/dev",
            *(f"mount --bind {here}/etc/{file} {root}/etc/{file}" for file in ("hosts", "resolv.conf")),
        ]
        return "\n".join([*lines, f"exec chroot {root} "])

    def _write(self) -> None:
        here = self.directory
        for directory in DIRECTORIES:
            (here / directory).mkdir(parents=True, exist_ok=True)
        mail_ids = self.generation.ids("mail")
        for directory in (name for name in DIRECTORIES if name.startswith("mail")):
            os.chown(here / directory, *mail_ids)
        os.chown(here / "postfix/data", *self.generation.ids("postfix"))
        self._write_names()
        self._write_postfix(mail_ids)
        self._write_dovecot(mail_ids)

    def _write_names(self) -> None:
        hosts = (
            ("127.0.0.1", "localhost"),
            ("::1", "localhost"),
            (VIP.v4, SERVER_NAME),
            (VIP.v6, SERVER_NAME),
            (VANTAGE_NAMED.v4, "client12.lab.test"),
            (VANTAGE_NAMED.v6, "client12.lab.test"),
            (POD.v4, "mail"),
        )
        (self.directory / "etc/hosts").write_text("".join(f"{address} {name}\n" for address, name in hosts))
        # Nobody listens there, so every other name fails at once instead of after a timeout.
        (self.directory / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")

    def _write_postfix(self, mail_ids: tuple[int, int]) -> None:
        here = self.directory / "postfix"
        settings = postfix.PostfixSettings(
            directory=here,
            certificates=self.certificates,
            log=self.postfix_log,
            mail_ids=mail_ids,
            greet_wait=self.choices.greet_wait,
            first_contact_wait=self.choices.first_contact_wait,
            port_logging=self.choices.port_logging,
        )
        (here / "etc/main.cf").write_text(postfix.main_cf(settings))
        (here / "etc/master.cf").write_text(postfix.master_cf(settings))
        private = here / "spool/private"
        private.mkdir()
        os.chown(private, self.generation.ids("postfix")[0], 0)

    def _write_dovecot(self, mail_ids: tuple[int, int]) -> None:
        here = self.directory / "dovecot"
        settings = dovecot.DovecotSettings(
            directory=here,
            certificates=self.certificates,
            log=self.dovecot_log,
            mail_ids=mail_ids,
            version=self.generation.dovecot_version,
            login_processes=self.choices.login_processes,
        )
        (here / "dovecot.conf").write_text(dovecot.config(settings))
        (here / "users").write_text(dovecot.users_file())
