"""One Kubernetes API: a request gives a JSON object or a stream of bytes, or a Refusal that says why not.

Rules:
- lightkube knows kubeconfigs, tokens and certificates; its log calls can neither ask for a previous container nor for
  lines since a time, and split lines where a client may put a character. So the HTTP client it makes is used as it is.
- An answer is bounded in size, and in time unless it is a stream; what it says is checked before it is believed.
- No redirect is followed: it would carry the token along.
- After a 401 the credentials are read anew: whoever renews a token need not restart the probe. Kubeconfig, token and
  certificates are read aside and within a bound.
- What the other side says is shown without the credentials that it was sent. Of a kubeconfig nothing is shown but where
  it is wrong: PyYAML and h11 would quote the token in it.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams, user_auth
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError
from msgspec import MsgspecError
from yaml import MarkedYAMLError, YAMLError

from probe.aside import Again
from probe.kubernetes.ask import Access, Ask, Refusal
from probe.model import without_credentials

MAX_BODY = 32 << 20
CONNECTING = 0.8
"""Part of the time for an answer that connecting may take: who does not get that far says so himself."""

CREDENTIALS = 10.0
"""Seconds for a kubeconfig and what it names: a program that fetches a token may ask a cloud for it."""

_CONNECTION = "connection"
_MAX_STATUS = 64 << 10
_LONGEST_MESSAGE = 300
_UNUSABLE = (
    ConfigError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    YAMLError,
    MsgspecError,
    Base64Error,
)
"""What lightkube raises on a kubeconfig that is missing, unreadable, incomplete or no kubeconfig."""

_USER = re.compile(r'User "([^"]+)"')
_UNFIT = "the token holds a character that no header may have: write it on one line, without a newline at its end"
_NO_SUCH_FILE = "Token file "
"""How lightkube begins to say so; it goes on with the name, where some write the token itself."""

_NEXT_STEPS = {
    401: "the credentials are not accepted: renew the token or certificate in the kubeconfig",
    403: "allow it as docs/kubernetes.md shows",
    404: "check the names, and that the cluster has this kind of object",
    429: "the API server is busy; trying again later",
}


class Api:
    """A client of one cluster; `answer` bounds, in seconds, each answer that is no stream. `close` it in the end."""

    def __init__(self, access: Access, *, answer: float) -> None:
        self._access = access
        self._answer = answer
        self._client: httpx2.AsyncClient | None = None
        self._making = Again(self._made, CREDENTIALS)
        self._renewing = Again(lambda: user_auth(self._configuration().user), CREDENTIALS)
        self._authorizations: tuple[str, ...] = ()
        self._told: tuple[float, float] | None = None

    def server_time(self, at: float) -> float | None:
        """What the API server's clock showed when the loop's clock showed `at`; None before its first answer."""
        if self._told is None:
            return None
        seconds, then = self._told
        return seconds - (then - at)

    async def read(self, ask: Ask) -> dict[str, Any]:
        """A whole answer: one JSON object."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._answer), self.stream(ask) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise Refusal(f"{self._access}: {ask}: the answer is longer than {MAX_BODY >> 20} MiB")
        except TimeoutError:
            raise Refusal(f"{self._access}: {ask}: no answer within {self._answer:g} s") from None
        return self.json_object(bytes(body), ask)

    def plain(self, said: str) -> str:
        """A text of the other side's as it may be shown: without our credentials, on one line, short."""
        for authorization in self._authorizations:
            said = without_credentials(said, authorization)
        return _printable(said)

    def json_object(self, text: bytes, ask: Ask) -> dict[str, Any]:
        """What an answer, or an event of a watch, says."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Refusal(f"{self._access}: {ask}: the answer is no JSON object: is `server` in the kubeconfig right?")
        return said

    @asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an answer as it comes. Whoever reads it has to bound the time."""
        response = await self._send(ask)
        try:
            self._note_time(response)
            if response.status_code != httpx2.codes.OK:
                raise await self._refused(ask, response)
            yield response.aiter_bytes()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Refusal(f"{self._access}: {self._transport(error)}", kind=_CONNECTION) from None
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client:
            await client.aclose()

    async def _send(self, ask: Ask) -> httpx2.Response:
        client = await self._connected()
        try:
            trace = {"trace": _Handshake()}
            request = client.build_request("GET", ask.path, params=dict(ask.params), extensions=trace)
            return await client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise Refusal(f"{self._access}: {self._transport(error)}", kind=_CONNECTION) from None
        except (httpx2.InvalidURL, *_UNUSABLE) as error:
            raise Refusal(f"{self._access} cannot be used: {_wrong_with(error)}") from None

    async def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            try:
                made = await self._making.outcome()
            except (httpx2.InvalidURL, *_UNUSABLE) as error:
                raise Refusal(f"{self._access} cannot be used: {_wrong_with(error)}") from None
            if self._client is None:  # nobody else was as soon
                made.event_hooks["request"].append(self._note_credentials)
                self._client = made
        return self._client

    def _made(self) -> httpx2.AsyncClient:
        timeout = httpx2.Timeout(CONNECTING * self._answer, read=None)
        return AsyncClient(self._configuration(), ConnectionParams(timeout=timeout))

    def _configuration(self) -> SingleConfig:
        file = self._access.kubeconfig
        known = (KubeConfig.from_file(file) if file else KubeConfig.from_env()).get(self._access.context)
        if known is None:
            raise ConfigError("no context is named")
        return known if known.user else known._replace(user=User())

    async def _refused(self, ask: Ask, response: httpx2.Response) -> Refusal:
        """An answer that is not 200, in words."""
        code = response.status_code
        if code == httpx2.codes.UNAUTHORIZED:
            await self._read_credentials()
        retry_after = response.headers.get("retry-after", "")
        said = await self._message(response)
        if code == httpx2.codes.FORBIDDEN:
            user = _USER.search(said)
            whole = f"{self._access}: {user[1] if user else 'the probe'} may not {ask} (403)"
        else:
            whole = f"{self._access}: {ask}: {code}" + (f" ({said})" if said else "")
        kind = "credentials" if code == httpx2.codes.UNAUTHORIZED else _kind(code, ask)
        next_step = _NEXT_STEPS.get(code)
        seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        return Refusal(f"{whole}: {next_step}" if next_step else whole, code=code, retry_after=seconds, kind=kind)

    async def _message(self, response: httpx2.Response) -> str:
        """The message of the Status object in a refusal; nothing where a proxy answered with a page of its own."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._answer):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_STATUS:
                        return ""
            message = json.loads(body)["message"]
        except (TimeoutError, ValueError, LookupError, TypeError, RecursionError):
            return ""
        return self.plain(message) if isinstance(message, str) else ""

    async def _read_credentials(self) -> None:
        """For the next request. The open streams stay: they were let in."""
        if self._client is not None:
            with suppress(*_UNUSABLE):
                if auth := await self._renewing.outcome():
                    self._client.auth = auth

    def _transport(self, error: Exception) -> str:
        """Why a connection came to nothing."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if cause:
            said = self.plain(str(cause))
            return f"its certificate is not trusted ({said}): check certificate-authority in the kubeconfig"
        return f"the connection failed: {self.plain(str(error)) or type(error).__name__}"

    async def _note_credentials(self, request: httpx2.Request) -> None:
        """Those of two requests, for an answer to the one before a token was renewed may still be on its way."""
        sent = request.headers.get("authorization", "")
        if not (sent.isascii() and sent.isprintable() and sent == sent.strip()):
            raise ConfigError(_UNFIT)  # h11 would say so too, and quote it, with the connection left open
        self._authorizations = tuple(dict.fromkeys((sent, *self._authorizations)))[:2]

    def _note_time(self, response: httpx2.Response) -> None:
        try:
            seconds = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
        except (ValueError, OverflowError):
            return
        self._told = seconds, asyncio.get_running_loop().time()


class _Handshake:
    """A trace for httpx2: closes the connection of a request cancelled amid its TLS handshake; nobody else does."""

    def __init__(self) -> None:
        self._close: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, event: str, told: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._close = told["return_value"].aclose
        elif event == "connection.start_tls.failed" and self._close:
            await self._close()


def _kind(code: int, ask: Ask) -> str:
    """Which refusals are one trouble: the server's text may be another each time. What is busy is so for all names."""
    whose = ask.name if code in (httpx2.codes.BAD_REQUEST, httpx2.codes.NOT_FOUND) else ""
    return f"{code} {ask} {whose}".strip()


def _wrong_with(error: BaseException) -> str:
    """What is wrong with a kubeconfig. The texts of most errors quote it."""
    match error:
        case MarkedYAMLError(problem_mark=mark) if mark:
            said = f"it is no YAML at line {mark.line + 1}, column {mark.column + 1}"
        case httpx2.InvalidURL():
            said = "its server is no URL"
        case ConfigError() if str(error).startswith(_NO_SUCH_FILE):
            said = "the file that its tokenFile names is not there"
        case KeyError(args=(str() as key,)):
            said = f"{_printable(key)!r} is missing in it"
        case ConfigError() | MsgspecError():
            said = _printable(str(error))
        case OSError():
            said = _printable(error.strerror or "")
        case _:
            said = ""
    return said or f"it is no kubeconfig ({type(error).__name__})"


def _printable(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text[:_LONGEST_MESSAGE])
    return " ".join(plain.split()).rstrip(".")
