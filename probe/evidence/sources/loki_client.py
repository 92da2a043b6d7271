"""HTTP and websockets to Loki, on aiohttp. Whatever goes wrong leaves this file as a Trouble with a next step.

Rules:
- Nothing is followed elsewhere, no cookie is kept and nothing is unpacked: an answer is read up to MAX_BODY bytes and a
  tail's frame up to MAX_FRAME, whatever the other side promises or sends.
- Credentials go into headers of each request anew, so that a token that was renewed in its file is used at once. What
  the other side says is shown without them.
- An answer too large, or a limit above what Loki allows, is asked for again in smaller pages.
- `ahead` is Loki's clock minus ours, by the Date header of its last answer (to the second).
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from probe.evidence import loki as wire
from probe.model import Clock, Secret, without_credentials

MAX_BODY = 16 << 20
MAX_FRAME = 4 << 20
LIMIT = 5000
SMALLEST_LIMIT = 10
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where Loki is, what is asked, and as whom."""

    url: str
    query: str
    tenant: str | None = None
    username: str | None = None
    password: Secret = field(default=Secret(""))
    bearer_token_file: Path | None = None
    tls: Tls = Tls()

    @property
    def name(self) -> str:
        """A label without secrets that no other source has."""
        url = urlsplit(self.url)
        tenant = f"{self.tenant}@" if self.tenant else ""
        return f"loki:{tenant}{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')} {self.query}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Seconds until a connection, an answer, or silence on a tail is given up."""

    connect: float = 5.0
    answer: float = 30.0
    silence: float = 15.0


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, oldest first; `full`: there may be more."""

    entries: tuple[wire.Entry, ...]
    full: bool


class LokiClient:
    """One Loki and one query. Use within one event loop."""

    def __init__(self, access: Access, clock: Clock, bounds: Bounds) -> None:
        self._access = access
        self._clock = clock
        self._bounds = bounds
        self._base = access.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._ssl: ssl.SSLContext | None = None
        self._allowed = LIMIT
        self._limit = LIMIT
        self._authorization = ""
        self.ahead = 0.0

    def now(self) -> float:
        """Loki's clock."""
        return self._clock() + self.ahead

    def plain(self, said: str) -> str:
        """A text of the other side's as it may be shown: without our credentials, on one line, short."""
        return wire.shown(without_credentials(said, self._authorization))

    def relax(self) -> None:
        """Ask for as many entries as Loki allows again: what was too large has passed."""
        self._limit = self._allowed

    async def page(self, start: int, end: int, *, newest_first: bool = False) -> Page:
        """One page of the entries with stamps in [start, end)."""
        while True:
            limit = self._limit
            asked = {"start": start, "end": end, "limit": limit, "direction": "backward" if newest_first else "forward"}
            try:
                entries = wire.page_of(await self._query(asked))
            except _TooMuch as much:
                self._limit = much.limit
                self._allowed = much.limit if much.always else self._allowed
            except wire.Malformed as malformed:
                raise Trouble("malformed", f"{self._base} is not understood: {malformed}") from None
            else:
                return Page(entries, full=len(entries) >= limit)

    async def tail(self, since: int) -> aiohttp.ClientWebSocketResponse:
        """A websocket on which Loki tells what comes in from now on, and the one newest line since this stamp."""
        params = {"query": self._access.query, "start": str(since), "limit": "1", "delay_for": "0"}
        async with self._translated(), asyncio.timeout(self._bounds.connect + self._bounds.silence):
            return await self._opened().ws_connect(
                f"{self._base}/loki/api/v1/tail",
                params=params,
                headers=self._headers(),
                ssl=self._context(),
                server_hostname=self._access.tls.server_name,
                heartbeat=self._bounds.silence,
                max_msg_size=MAX_FRAME,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _query(self, asked: Mapping[str, object]) -> bytes:
        params = {"query": self._access.query, **{name: str(value) for name, value in asked.items()}}
        async with (
            self._translated(),
            asyncio.timeout(self._bounds.answer),
            self._opened().get(
                f"{self._base}/loki/api/v1/query_range",
                params=params,
                headers=self._headers(),
                ssl=self._context(),
                server_hostname=self._access.tls.server_name,
                allow_redirects=False,
            ) as answer,
        ):
            self._see_clock(answer.headers.get("Date"))
            body = await self._body(answer)
            if answer.status == 200 and "html" not in answer.content_type:
                return body
            raise self._refusal(answer, without_credentials(body.decode("utf-8", "replace"), self._authorization))

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                if self._limit <= SMALLEST_LIMIT:
                    reason = f"{self._base} answers with more than {MAX_BODY >> 20} MiB for {self._limit} lines"
                    raise Trouble("too large", f"{reason}: let `query` select the mail server's lines only")
                raise _TooMuch(max(SMALLEST_LIMIT, self._limit // 4))
        return bytes(body)

    def _refusal(self, answer: aiohttp.ClientResponse, reply: str) -> Exception:
        if answer.status == 200:
            reason = "answers with a web page: a login page or another service stands there; check `url`"
            return Trouble("web page", f"{self._base} {reason}")
        allowed = wire.largest_limit(reply) if answer.status == 400 else None
        if allowed and allowed < self._limit:
            return _TooMuch(allowed, always=True)
        wait = wire.retry_after(answer.headers.get("Retry-After"), now=self.now())
        return Trouble(f"http {answer.status}", f"{self._base} {wire.reason_of(answer.status, reply)}", wait=wait)

    def _see_clock(self, date: str | None) -> None:
        seconds = wire.seconds_of(date)
        if seconds is not None:
            self.ahead = seconds - self._clock()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "mailprobe"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._bounds.connect),
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        access = self._access
        headers = {"X-Scope-OrgID": access.tenant} if access.tenant else {}
        if access.username is not None:
            pair = f"{access.username}:{access.password.reveal()}".encode()
            headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        elif access.bearer_token_file is not None:
            headers["Authorization"] = f"Bearer {_token(access.bearer_token_file)}"
        self._authorization = headers.get("Authorization", "")
        return headers

    def _context(self) -> ssl.SSLContext | bool:
        tls = self._access.tls
        if not self._base.startswith("https:"):
            return True
        if self._ssl is None:
            try:
                self._ssl = _context(tls)
            except OSError as error:
                reason = f"tls of {self._base} cannot be set up ({wire.shown(_root(error))})"
                raise Trouble("tls", f"{reason}: check ca_file, certificate_file and key_file") from None
        return self._ssl

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Let what goes wrong with connections out as Trouble."""
        try:
            yield
        except aiohttp.WSServerHandshakeError as refused:
            reason = f"does not open a websocket (HTTP {refused.status})"
            raise Trouble("websocket", f"{self._base} {reason}: let the proxy in front of it upgrade") from None
        except aiohttp.ClientResponseError as odd:
            reason = f"does not speak HTTP as Loki does ({self.plain(odd.message)})"
            raise Trouble("malformed", f"{self._base} {reason}: check `url`") from None
        except TimeoutError:
            raise Trouble(
                "timeout", f"{self._base} did not answer in time: check the network and Loki's load"
            ) from None
        except aiohttp.ClientConnectorCertificateError as untrusted:
            reason = wire.shown(str(untrusted.certificate_error))
            next_step = "set tls.ca_file, or tls.server_name to a name in the certificate"
            raise Trouble(
                "certificate", f"{self._base} shows a certificate that is refused ({reason}): {next_step}"
            ) from None
        except aiohttp.ClientPayloadError:
            raise Trouble("broken off", f"{self._base} broke off in the middle of an answer; asked again") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = self.plain(_root(error))
            raise Trouble(
                "unreachable", f"{self._base} cannot be reached ({reason}): check `url` and the network"
            ) from None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


class _TooMuch(Exception):
    """Ask again with this limit; `always`: Loki says that it never gives more."""

    def __init__(self, limit: int, *, always: bool = False) -> None:
        super().__init__(limit)
        self.limit = limit
        self.always = always


def _root(error: BaseException) -> str:
    """What the operating system said, where it said something."""
    inner = getattr(error, "os_error", None) or error
    return (getattr(inner, "strerror", None) or str(inner) or type(inner).__name__).strip()


def _token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            token = opened.read(_LARGEST_TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no ASCII text"
        raise Trouble("token", f"bearer_token_file {file} holds no token ({reason}): write it there") from None
    if not token or not token.isprintable() or " " in token:
        raise Trouble("token", f"bearer_token_file {file} holds no token: write it there, and nothing else")
    return token
