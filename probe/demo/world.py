"""The loopback world: a mail server, a network in front of it, other clients. No root, no file outside one folder.

    127.168.1.10 ──▶ 127.0.20.202 ──▶ (what the scene puts here) ──▶ 127.10.1.5
    the probe        virtual address   127.0.20.1 proxy               mail server: four plain services and their
                                       127.0.20.102 node              four PROXY-expecting twins

Read 127 as the first number of an ordinary plan (10.0.20.202, 192.168.1.10): all of 127.0.0.0/8 is this machine.

    async with demo_world() as world:
        await world.change_to(Scene.BEHIND_NODE)
        …                                          # probe with world.config_file, read world.log_file

Leaving it, by the end, an exception or Ctrl-C, also half-way through start-up, leaves no task, socket or file behind.
"""

from __future__ import annotations

import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
import yaml

from probe.demo.crew import Crew
from probe.demo.crowd import Neighbour
from probe.demo.door import Door, Welcome
from probe.demo.imapd import serve_imaps
from probe.demo.listener import DOVECOT_HEADER_SECONDS, POSTFIX_HEADER_SECONDS, House, Listener
from probe.demo.mail_log import MailLog
from probe.demo.scenes import Scene
from probe.demo.smtpd import serve_smtp
from probe.demo.ways import Junction, Relay, nowhere
from probe.model import Service

CLIENT = "127.168.1.10"
NEIGHBOURS = ("127.168.1.21", "127.168.1.22", "127.168.7.5", "127.199.3.4")
VIRTUAL = "127.0.20.202"
NODES = ("127.0.20.101", "127.0.20.102")
PROXY = "127.0.20.1"
SERVER = "127.10.1.5"
PODS = "127.10.0.0/16"
NAME = "mail.demo.test"
CA_FILE = "ca.pem"

PASSABLE: dict[Scene, tuple[str | None, bool]] = {
    Scene.STRAIGHT: (None, False),
    Scene.BEHIND_NODE: (NODES[1], False),
    Scene.HEADER_MISSING: (NODES[1], True),
    Scene.HEADER_SENT: (PROXY, True),
}
"""Scenes in which connections arrive: through which machine (None: straight), and at the PROXY-expecting twin?"""

SERVE = {True: serve_smtp, False: serve_imaps}

Key = tuple[Service, bool]
"""A listener of the server: the service, and whether it is the PROXY-expecting twin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoWorld:
    """What the walk and the tests see of the world. Made by `demo_world()`."""

    folder: Path
    house: House
    client_tls: ssl.SSLContext
    welcomes: dict[Key, Welcome]
    doors: dict[Key, Door]
    junctions: dict[Service, Junction]

    @property
    def log_file(self) -> Path:
        """The mail server's log."""
        return self.house.log.path

    @property
    def ca_file(self) -> Path:
        """Certificate of the authority that vouches for the mail server."""
        return self.folder / CA_FILE

    @property
    def config_file(self) -> Path:
        """What `probe --config` takes to look at this world."""
        return self.folder / "mailprobe.yaml"

    def place(self, service: Service) -> tuple[str, int]:
        """Where clients reach a service: the virtual address and its port."""
        return VIRTUAL, self.junctions[service].door.port

    def server_place(self, service: Service, *, twin: bool = False) -> tuple[str, int]:
        """Where the mail server itself listens."""
        return SERVER, self.doors[service, twin].port

    async def change_to(self, scene: Scene) -> None:
        """Change the network for all connections from now on."""
        for service, junction in self.junctions.items():
            await junction.lead(self.way(scene, service))

    def way(self, scene: Scene, service: Service) -> Welcome | None:
        """What a scene does with connections to a service; None: their SYNs are dropped."""
        if scene not in PASSABLE:
            return nowhere if scene is Scene.DEAD else None
        machine, twin = PASSABLE[scene]
        if machine is None:
            return self.welcomes[service, twin]
        return Relay(
            address=machine, server=self.server_place(service, twin=twin), says_whom=scene is Scene.HEADER_SENT
        )

    def config(self) -> dict[str, object]:
        """The probe's configuration for this world; it stays the same while the world changes."""
        path = {
            "name": "vip",
            "host": VIRTUAL,
            "source_address": CLIENT,
            "endpoints": [{"service": str(service), "port": self.place(service)[1]} for service in Service],
            "tls": {"server_name": NAME, "ca_file": str(self.ca_file)},
        }
        whose = {"nodes": [f"{node}/32" for node in NODES], "pods": [PODS], "proxies": [f"{PROXY}/32"]}
        return {
            "vantage": {"name": "demo", "addresses": [CLIENT]},
            "paths": [path],
            "timeouts": {"connect": "2s", "session": "12s", "evidence": "4s"},
            "networks": whose,
            "evidence": {"sources": [{"kind": "file", "path": str(self.log_file)}]},
        }


@asynccontextmanager
async def demo_world(
    *, postfix_waits: float = POSTFIX_HEADER_SECONDS, dovecot_waits: float = DOVECOT_HEADER_SECONDS
) -> AsyncIterator[DemoWorld]:
    """The world while it lasts, with other clients in it. Postfix and Dovecot wait so long for a PROXY header."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_quiet_library())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mailprobe-demo-")))
        log = MailLog(folder / "mail.log")
        stack.callback(log.close)
        server_tls, client_tls = _certified(folder / CA_FILE)
        house = _house(log, server_tls)
        welcomes = _listeners(house, {True: postfix_waits, False: dovecot_waits})
        world = DemoWorld(
            folder=folder,
            house=house,
            client_tls=client_tls,
            welcomes=welcomes,
            doors={key: _open(stack, Door(SERVER, welcome)) for key, welcome in welcomes.items()},
            junctions={service: _junction(stack) for service in Service},
        )
        await world.change_to(Scene.STRAIGHT)
        world.config_file.write_text(yaml.safe_dump(world.config(), sort_keys=False), encoding="utf-8")
        _populate(stack, world)
        yield world


def _house(log: MailLog, tls: ssl.SSLContext) -> House:
    account = ("probe@demo.test", secrets.token_urlsafe(9))
    trusted = tuple(ip_network(f"{machine}/32") for machine in (*NODES, PROXY))
    return House(name=NAME, address=SERVER, log=log, tls=tls, account=account, trusted=trusted)


def _listeners(house: House, header_seconds: dict[bool, float]) -> dict[Key, Welcome]:
    welcomes: dict[Key, Welcome] = {}
    for service in Service:
        serve, seconds = SERVE[service.speaks_smtp], header_seconds[service.speaks_smtp]
        twin = Listener(house=house, service=service, header_seconds=seconds)
        welcomes[service, False] = partial(serve, Listener(house=house, service=service))
        welcomes[service, True] = partial(serve, twin)
    return welcomes


def _open(stack: AsyncExitStack, door: Door) -> Door:
    stack.push_async_callback(door.shut)
    return door


def _junction(stack: AsyncExitStack) -> Junction:
    junction = Junction(VIRTUAL)
    _open(stack, junction.door)
    return junction


def _populate(stack: AsyncExitStack, world: DemoWorld) -> None:
    crew = Crew()
    stack.push_async_callback(crew.dismiss)
    places = {service: world.place(service) for service in Service}
    for address in NEIGHBOURS:
        crew.start(Neighbour(address, places, world.client_tls).live())


def _certified(ca_file: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for the server, with a certificate of a new authority, and TLS for clients that trust it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME, VIRTUAL).configure_cert(server)
    return server, ssl.create_default_context(cafile=str(ca_file))


@contextmanager
def _quiet_library() -> Iterator[None]:
    """aiosmtpd warns of every odd client on standard error, where the demo's own words stand."""
    logger = logging.getLogger("mail.log")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
