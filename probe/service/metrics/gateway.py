"""Where metrics are pushed to: --push taken apart, with the secrets in it kept from every message. Pure.

Rule 1: `${NAME}` in the user name and the password is replaced after the URL was taken apart, so that any character may
        be in it; written out, such characters are percent-encoded. A URL that is one `${NAME}` is replaced before.
Rule 2: what cannot be a URL is not repeated in the message: it may hold a password in an odd place.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from probe.model import Secret

JOB = "mailprobe"
NO_PASSWORD = Secret("")
EXAMPLE = "--push takes the URL of a Pushgateway, like 'http://probe:${PUSH_PASSWORD}@pushgateway:9091'"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_ODD = re.compile(r"[\x00-\x20\x7f<>\"\\^`|]")


class NoGateway(ValueError):
    """The text names no Pushgateway; says what was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """A Pushgateway: its URL without credentials, which may be shown, and the credentials."""

    url: str
    username: str | None = None
    password: Secret = NO_PASSWORD

    @property
    def headers(self) -> dict[str, str]:
        """Basic authentication (RFC 7617), if there is a user name."""
        return {} if self.username is None else {"Authorization": f"Basic {self._pair}"}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may hold."""
        return (self.password.reveal(), self._pair) if self.password.reveal() else ()

    @property
    def _pair(self) -> str:
        return b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()

    def group(self, vantage: str) -> str:
        """The URL of this vantage's group.

        >>> Gateway(url="http://push:9091").group("lan-probe")
        'http://push:9091/metrics/job/mailprobe/vantage/lan-probe'
        >>> Gateway(url="http://push:9091").group("LAN/1")
        'http://push:9091/metrics/job/mailprobe/vantage@base64/TEFOLzE='
        """
        if _PLAIN.fullmatch(vantage):
            return f"{self.url}/metrics/job/{JOB}/vantage/{vantage}"
        return f"{self.url}/metrics/job/{JOB}/vantage@base64/{urlsafe_b64encode(vantage.encode()).decode()}"


def gateway_of(text: str, environment: Mapping[str, str]) -> Gateway:
    """Take a --push apart, or say what it should have been (NoGateway)."""
    if whole := _VARIABLE.fullmatch(text):
        text = _variable(whole[1], environment)
    parts = _parts(text)
    userinfo, at, place = parts.netloc.rpartition("@")
    if "/metrics/job" in parts.path:
        raise NoGateway(f"{EXAMPLE}, without /metrics/job and what follows: the probe adds it")
    url = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
    if not at:
        return Gateway(url=url)
    username, _, password = userinfo.partition(":")
    name = _expanded(username, environment)
    if ":" in name:
        raise NoGateway("--push: a user name with a colon in it cannot be sent (RFC 7617)")
    return Gateway(url=url, username=name, password=Secret(_expanded(password, environment)))


def _parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise NoGateway(EXAMPLE) from None
    rest = f"{parts.path}{parts.query}{parts.fragment}"
    if not sound or _ODD.search(text) or not text.isascii():
        raise NoGateway(EXAMPLE)
    if parts.query or parts.fragment or "@" in rest:
        raise NoGateway(f"{EXAMPLE}; in a password written out / ? # @ are %2F %3F %23 %40")
    return parts


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """Odd pieces of the split are names of variables, even ones are written out."""
    pieces = enumerate(_VARIABLE.split(text))
    return "".join(_variable(piece, environment) if place % 2 else unquote(piece) for place, piece in pieces)


def _variable(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise NoGateway(f"--push: the environment variable {name} is not set")
    return environment[name]
