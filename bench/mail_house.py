"""A mail server for any number of endpoints: the demo's, on every address of 127.0.0.0/8, in a process of its own.

    python bench/mail_house.py FOLDER [NODE]

It prints its ports, as JSON by service, and leaves ca.pem and mail.log in the folder. With the address of a NODE it
believes that every client is that node, as behind SNAT.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import trustme

from probe.demo.door import Arrival, Door, Welcome
from probe.demo.imapd import serve_imaps
from probe.demo.listener import House, Listener
from probe.demo.mail_log import MailLog
from probe.demo.smtpd import serve_smtp
from probe.model import Peer, Service

NAME = "mail.bench.test"


def welcome(listener: Listener, node: str | None) -> Welcome:
    """Serve whoever comes, as whom the server believes it."""
    serve = serve_smtp if listener.service.speaks_smtp else serve_imaps

    async def served(arrival: Arrival) -> None:
        client = arrival.client if node is None else Peer(ip_address(node), arrival.client.port)
        await serve(listener, replace(arrival, client=client))

    return served


def house(folder: Path) -> House:
    """Certificate, log, nobody who may log in."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(tls)
    return House(name=NAME, address="127.10.1.5", log=MailLog(folder / "mail.log"), tls=tls, account=("", ""))


async def main(folder: Path, node: str | None) -> None:
    """Until the process is ended."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    server = house(folder)
    doors = {one: Door("0.0.0.0", welcome(Listener(house=server, service=one), node)) for one in Service}  # noqa: S104
    print(json.dumps({service: door.port for service, door in doors.items()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None))
