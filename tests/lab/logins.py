"""Real logins over IMAPS, and a second Dovecot beside the lab's own: what the count of logins is tested with."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import dovecot, namespaces
from tests.lab.addresses import PASSWORD, POD, STOCK, USER
from tests.lab.lab import Lab
from tests.lab.lookalikes import trusting_context
from tests.lab.servers import wait_until

ASIDE = 1000
"""How far the ports of the second Dovecot lie from the first one's."""

SECOND_IMAPS = STOCK["imaps"] + ASIDE


def log_in(lab: Lab, *, namespace: str = "lan", port: int = STOCK["imaps"]) -> None:
    """One login at the pod itself, on a way that no scenario breaks."""
    with lab.socket(namespace=namespace) as plain:
        plain.settimeout(10)
        plain.connect((POD.v4, port))
        with trusting_context().wrap_socket(plain) as secured:
            secured.recv(4096)
            secured.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode())
            answer = secured.recv(4096)
            assert answer.startswith(b"a OK"), answer
            secured.sendall(b"b LOGOUT\r\n")
            secured.recv(4096)


@dataclass(slots=True)
class Others:
    """Clients who log in one after another; `logins` is how many have."""

    logins: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def others_who_log_in(lab: Lab) -> Iterator[Others]:
    """Background logins for the length of the block."""
    others = Others()

    def go_on() -> None:
        while not others.stop.wait(0.1):
            log_in(lab)
            others.logins += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        wait_until(lambda: others.logins > 0, "a login of the background")
        yield others
    finally:
        others.stop.set()
        thread.join()


def start_second_dovecot(lab: Lab) -> Path:
    """Another Dovecot in the pod, with its own users, statistics and log, which it gives back."""
    here = lab.directory / "second"
    for folder in ("dovecot/run", "dovecot/state", "postfix/spool/private", "mail/probe", "mail/home", "log"):
        (here / folder).mkdir(parents=True)
    mail_ids = lab.generation.ids("mail")
    for folder in ("mail", "mail/probe", "mail/home"):
        os.chown(here / folder, *mail_ids)
    log = here / "log/dovecot.log"
    text = dovecot.config(
        dovecot.DovecotSettings(
            directory=here / "dovecot",
            certificates=lab.certificates,
            log=log,
            mail_ids=mail_ids,
            version=lab.generation.dovecot_version,
            login_processes=dovecot.LoginProcesses.DEFAULT,
        )
    )
    text = re.sub(r"\bport = ([1-9][0-9]*)", lambda found: f"port = {int(found[1]) + ASIDE}", text)
    (here / "dovecot/dovecot.conf").write_text(text)
    (here / "dovecot/users").write_text(dovecot.users_file())
    lab.servers.in_pod(f"dovecot -c {here}/dovecot/dovecot.conf")
    wait_until(lambda: SECOND_IMAPS in namespaces.listening_ports(lab.namespace("pod")), "the second Dovecot")
    return log
