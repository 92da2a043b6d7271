"""HTTP to Loki, on aiohttp, for whoever asks or tells it something. What goes wrong is a Trouble with a next step.

Rules:
- Nothing is followed elsewhere, no cookie is kept and nothing is unpacked: an answer is read up to a bound, whatever
  the other side promises or sends.
- Credentials go into headers of each request anew, and files of certificates are looked at, so that what was renewed in
  its file is used at once. What the other side says is shown without them, and without what `${NAME}` put into URL,
  tenant and query.
- Files (a token, certificates) are read aside and within a bound: what hangs is a Trouble as well.
- `ahead` is Loki's clock minus ours, by the Date header of its last answer (to the second).
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from probe.aside import Again, Hangs, State, contents, state_of
from probe.evidence import loki as wire
from probe.model import Clock, Secret, as_written, unexpanded, without_credentials

API = "/loki/api/v1"
_LARGEST_TOKEN = 64 << 10


class Trouble(Exception):
    """Something does not work. `kind` names what, `wait` is how long Loki asks to be left alone."""

    def __init__(self, kind: str, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.wait = wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How Loki's certificate is checked, and the one to show."""

    ca_file: Path | None = None
    verify: bool = True
    server_name: str | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What may be renewed while it is in use."""
        return tuple(file for file in (self.ca_file, self.certificate_file, self.key_file) if file is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where Loki is, and as whom it is asked."""

    url: str
    tenant: str | None = None
    username: str | None = None
    password: Secret = field(default=Secret(""))
    bearer_token_file: Path | None = None
    tls: Tls = Tls()

    @property
    def asked(self) -> tuple[str | None, ...]:
        """What of it may be out of `${NAME}`, and quoted by the other side."""
        return self.url, self.tenant

    @property
    def place(self) -> str:
        """Where, and which tenant, without secrets: as the configuration has it."""
        url = urlsplit(as_written(self.url))
        tenant = f"{as_written(self.tenant)}@" if self.tenant else ""
        return f"loki:{tenant}{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Seconds until a file, a connection, an answer, or silence on a tail is given up."""

    file: float = 2.0
    connect: float = 5.0
    answer: float = 30.0
    silence: float = 15.0


class LokiHttp:
    """Connections to one Loki. Use within one event loop."""

    def __init__(self, server: Server, clock: Clock, bounds: Bounds) -> None:
        self.base = as_written(server.url).rstrip("/")
        """Where Loki is, as it is shown; `address` says where a request goes to."""
        self.ahead = 0.0
        self._server = server
        self._clock = clock
        self._bounds = bounds
        self._session: aiohttp.ClientSession | None = None
        self._token = Again(lambda: _token(server.bearer_token_file), bounds.file)
        self._contexts = _Contexts(server.tls)
        self._context = Again(self._contexts.of_now, bounds.file)
        self._authorization = ""

    def now(self) -> float:
        """Loki's clock."""
        return self._clock() + self.ahead

    def address(self, path: str) -> str:
        """The URL of a request of the API."""
        return f"{self._server.url.rstrip('/')}{API}/{path}"

    def without_credentials(self, said: str) -> str:
        """A text of the other side's without what we sent it."""
        return without_credentials(unexpanded(said, *self._server.asked), self._authorization)

    def plain(self, said: str) -> str:
        """A text of the other side's as it may be shown: without our credentials, on one line, short."""
        return wire.shown(self.without_credentials(said))

    @asynccontextmanager
    async def request(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request of the API, within Bounds.answer. Raises Trouble for what is no answer."""
        async with (
            self.translated(),
            asyncio.timeout(self._bounds.answer),
            self.opened().request(
                method,
                self.address(path),
                allow_redirects=False,
                **await self.identity(more.pop("headers", {})),
                **more,
            ) as answer,
        ):
            seconds = wire.seconds_of(answer.headers.get("Date"))
            if seconds is not None:
                self.ahead = seconds - self._clock()
            yield answer

    def refusal(self, answer: aiohttp.ClientResponse, reason: str) -> Trouble:
        """What an answer other than 200 comes to."""
        wait = wire.retry_after(answer.headers.get("Retry-After"), now=self.now())
        return Trouble(f"http {answer.status}", f"{self.base} {reason}", wait=wait)

    def opened(self) -> aiohttp.ClientSession:
        """The session, opened with the first request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "mailprobe"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._bounds.connect),
            )
        return self._session

    async def identity(self, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Who asks, and how the other side's certificate is checked, as aiohttp's arguments. Raises Trouble."""
        server = self._server
        named = dict(headers or {})
        if server.tenant:
            named["X-Scope-OrgID"] = server.tenant
        if server.username is not None:
            pair = f"{server.username}:{server.password.reveal()}".encode()
            named["Authorization"] = f"Basic {b64encode(pair).decode()}"
        elif server.bearer_token_file is not None:
            try:
                named["Authorization"] = f"Bearer {await self._token.outcome()}"
            except OSError as error:
                raise _no_token(server.bearer_token_file, error) from None
        self._authorization = named.get("Authorization", "")
        return {"headers": named, "ssl": await self._checked_by(), "server_hostname": server.tls.server_name}

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _checked_by(self) -> ssl.SSLContext | bool:
        if not self._server.url.startswith("https:"):
            return True
        last = self._contexts.last
        if last is not None and not self._server.tls.files:
            return last
        try:
            return await self._context.outcome()
        except OSError as error:
            if last is not None and isinstance(error, Hangs):
                return last  # of a disk that hangs nobody knows whether anything was renewed
            reason = f"tls of {self.base} cannot be set up ({wire.shown(_root(error))})"
            raise Trouble("tls", f"{reason}: check ca_file, certificate_file and key_file") from None

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """Let what goes wrong with connections out as Trouble."""
        try:
            yield
        except aiohttp.WSServerHandshakeError as refused:
            reason = f"does not open a websocket (HTTP {refused.status})"
            raise Trouble("websocket", f"{self.base} {reason}: let the proxy in front of it upgrade") from None
        except aiohttp.ClientResponseError as odd:
            reason = f"does not speak HTTP as Loki does ({self.plain(odd.message)})"
            raise Trouble("malformed", f"{self.base} {reason}: check `url`") from None
        except TimeoutError:
            raise Trouble("timeout", f"{self.base} did not answer in time: check the network and Loki's load") from None
        except aiohttp.ClientConnectorCertificateError as untrusted:
            self._contexts.last = None  # the system's authorities may be others by the next time
            reason = self.plain(str(untrusted.certificate_error))
            next_step = "set tls.ca_file, or tls.server_name to a name in the certificate"
            raise Trouble(
                "certificate", f"{self.base} shows a certificate that is refused ({reason}): {next_step}"
            ) from None
        except aiohttp.ClientPayloadError:
            raise Trouble("broken off", f"{self.base} broke off in the middle of an answer; asked again") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = self.plain(_root(error))
            raise Trouble(
                "unreachable", f"{self.base} cannot be reached ({reason}): check `url` and the network"
            ) from None


class _Contexts:
    """The TLS context of certificates as their files are now; the `last` one, as long as they have not changed."""

    def __init__(self, tls: Tls) -> None:
        self.last: ssl.SSLContext | None = None
        self._tls = tls
        self._made_of: tuple[State, ...] = ()

    def of_now(self) -> ssl.SSLContext:
        """Blocks. OSError, of which SSLError is one: they cannot be used."""
        found, last = tuple(map(state_of, self._tls.files)), self.last
        if last is None or found != self._made_of:
            last = _context(self._tls)
            self.last, self._made_of = last, found
        return last


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


def _root(error: BaseException) -> str:
    """What the operating system said, where it said something."""
    inner = getattr(error, "os_error", None) or error
    return (getattr(inner, "strerror", None) or str(inner) or type(inner).__name__).strip()


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = contents(file, _LARGEST_TOKEN).decode("ascii").strip()
    except UnicodeDecodeError:
        raise OSError(errno.EINVAL, "it is no ASCII text") from None
    if not token or not token.isprintable() or " " in token:
        raise OSError(errno.EINVAL, "it holds something else")
    return token


def _no_token(file: Path, error: OSError) -> Trouble:
    if isinstance(error, Hangs):
        return Trouble("token", f"bearer_token_file {as_written(file)} cannot be read ({error.strerror})")
    return Trouble("token", f"bearer_token_file {as_written(file)} holds no token ({error.strerror}): write it there")
