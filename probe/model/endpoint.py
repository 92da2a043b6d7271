"""What the configuration asks for: one service on a path, with all that opening a session needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probe.model.address import Address, Network, Peer
from probe.model.words import AddressFamily, ImprintKind, ProxyHeader, Service

WHOAMI = "whoami"
"""How the name of such a user begins."""


class Secret:
    """A password or token that no log, page, metric or traceback shows by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; call this only where it goes onto the wire."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Credentials of the probe's own mailbox."""

    username: str
    password: Secret

    @property
    def is_whoami(self) -> bool:
        """True for the user that Dovecot refuses with the client's address (docs/replies.md)."""
        return self.username.startswith(WHOAMI)


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsOptions:
    """TLS settings of a path; equal options share one context. `server_name` None means the path's host."""

    server_name: str | None = None
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Bounds in seconds: one connect, one whole session, the wait for evidence after it."""

    connect: float = 5.0
    session: float = 30.0
    evidence: float = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often an endpoint is looked at, in seconds from when a session is opened.

    `interval`: from one turn to the next, without jitter. `due`: by then the verdict of the next one is told, if all is
    well with the probe. `lapse`: without a next one for longer, nothing is known of the time between.
    """

    interval: float = float("inf")
    due: float = 0.0
    lapse: float = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailbox:
    """The probe's own mailbox, where a `deliver` imprint ends: who sends, who receives, and where it is read back.

    `sender` holds `{token}` where the session's token goes; empty, it is the null sender.
    """

    recipient: str
    sender: str
    reader: Endpoint


@dataclass(frozen=True, slots=True, order=True)
class EndpointName:
    """Which endpoint: what books are kept under. A path may have a service on two ports."""

    path: str
    service: Service
    port: int

    def __str__(self) -> str:
        port = "" if self.port == self.service.default_port else f":{self.port}"
        return f"{self.path}/{self.service}{port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WayIn:
    """How an endpoint is reached. Nothing on the network tells two with one way in apart, whatever their names.

    `server_name`: what a TLS-first session asks for in its first octets, by which a proxy may choose a server; empty
    where TLS comes later, for the server is chosen by then.
    """

    host: str
    port: int
    family: AddressFamily
    source_address: Address | None
    proxy_header: ProxyHeader
    server_name: str = ""
    at: str | None = None

    def __str__(self) -> str:
        """As it is configured, whichever of the host's addresses it is."""
        way = f"{self.host} {self.port} {self.family} {self.proxy_header} {self.source_address}"
        return f"{way} {self.server_name}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One service on a path, with all that opening a session needs.

    `claim` is whom the PROXY header says the client is; None, the truth. `at` is one address of the host, with its zone
    where it has one: that of a session, for all that is opened for that session; None, whichever the host means now.
    """

    path: str
    service: Service
    host: str
    port: int
    family: AddressFamily = AddressFamily.ANY
    source_address: Address | None = None
    proxy_header: ProxyHeader = ProxyHeader.NONE
    claim: Peer | None = None
    at: str | None = None
    tls: TlsOptions = TlsOptions()
    login: Login | None = None
    imprint: ImprintKind = ImprintKind.NONE
    mailbox: Mailbox | None = None
    expected: tuple[Network, ...] = ()
    timeouts: Timeouts = Timeouts()
    pace: Pace = Pace()

    @property
    def name(self) -> EndpointName:
        """What its books are kept under."""
        return EndpointName(self.path, self.service, self.port)

    @property
    def way_in(self) -> WayIn:
        """How it is reached: what a server does, whoever asks and whatever is made of it, is a matter of this."""
        return WayIn(
            host=self.host.casefold(),
            port=self.port,
            family=self.family,
            source_address=self.source_address,
            proxy_header=self.proxy_header,
            server_name=(self.tls.server_name or self.host).casefold() if self.service.tls_first else "",
            at=self.at,
        )

    @property
    def server(self) -> str:
        """Which server it is: who it says it is in TLS. A virtual address, a node port and a name may lead to one."""
        return (self.tls.server_name or self.host).casefold().rstrip(".")

    @property
    def identity(self) -> Endpoint:
        """All that a verdict on it speaks of: where that differs, it is another endpoint, whatever its name.

        How often it is looked at, how long that may take, and to which address a session went, is not part of it.
        """
        mailbox = self.mailbox and replace(self.mailbox, reader=self.mailbox.reader.identity)
        return replace(self, at=None, mailbox=mailbox, timeouts=Timeouts(), pace=Pace())

    def pinned(self, at: str | None) -> Endpoint:
        """The same at one address of its host; its mailbox is on the same path, and read back there."""
        mailbox = self.mailbox and replace(self.mailbox, reader=self.mailbox.reader.pinned(at))
        return replace(self, at=at, mailbox=mailbox)

    def __str__(self) -> str:
        return f"{self.path}/{self.service}"
