"""Prometheus's web-config file (the exporter-toolkit's `web.config.file`): TLS, who may come in, a few headers.

- Every fault at once, with its line and what was expected; a hash or a key is never shown.
- What the file may say and this server does in its own way is a warning, not a fault: the same file serves exporters.
- Relative file names are relative to the file and no variable is expanded, as the toolkit has it.
- Reading does no more than read: contexts are made in web_tls.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from probe.aside import contents
from probe.model import Secret
from probe.settings import ConfigurationFault
from probe.settings.document import MAX_BYTES, Document, Unreadable, decoded, parsed
from probe.settings.faults import Location, dotted, kind_of, shown


class ClientAuth(StrEnum):
    """Whether clients show a certificate."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


UNCHECKED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
"""Of the toolkit's, and insecure by its own documentation: any certificate will do. Python's TLS cannot do that."""

CIPHERS: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""Names of Go's crypto/tls and OpenSSL's for the same; those of TLS 1.3 are always on, in both."""

CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""Headers that may be set, and the values of those with a closed set; an empty value takes the header away."""

DEAREST = 16
"""Cost of bcrypt above which one login would keep a processor busy for more than some 5 s."""

MOST_USERS = 1_000
LITERAL = "; ${NAME} is not expanded in this file, as in Prometheus's"
"""What to add where somebody relied on it."""

_HASH = re.compile(r"\$2[aby]?\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_DURATION = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,6})?(?:ns|us|µs|ms|s|m|h))+|0")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_VERSIONS = ("TLS13", "TLS12", "TLS11", "TLS10")
_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False, "true": True, "false": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerTls:
    """`tls_server_config`: certificate and key each out of a file or out of the web-config file itself."""

    cert_file: Path | None = None
    cert: str = ""
    key_file: Path | None = None
    key: Secret = field(default_factory=lambda: Secret(""))
    client_auth: ClientAuth = ClientAuth.NONE
    client_ca_file: Path | None = None
    client_ca: str = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefer_server_ciphers: bool = True
    curve: str | None = None

    @property
    def complete(self) -> bool:
        """Whether there is a certificate and a key to try."""
        return bool(self.cert_file or self.cert) and bool(self.key_file or self.key.reveal())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files beside the web-config file that a context is made of."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebConfig:
    """The file as values. `users`: bcrypt hashes by name. `rate`: seconds between requests and how many at once."""

    tls: ServerTls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Secret] = field(default_factory=dict)
    rate: tuple[float, int] | None = None
    warnings: tuple[str, ...] = ()


OPEN = WebConfig()
"""Without a file: no TLS, and everybody may come in."""


def read_web_config(file: Path) -> tuple[WebConfig, tuple[ConfigurationFault, ...]]:
    """Read and check the file: what of it is sound, and every fault in it. Blocks."""
    try:
        document = parsed(decoded(contents(file, MAX_BYTES + 1)), None)
    except OSError as error:
        found = error.strerror or type(error).__name__
        return OPEN, (ConfigurationFault(path="", found=found, expected="a readable file"),)
    except Unreadable as unreadable:
        return OPEN, (unreadable.fault,)
    reader = _Reader(document, file.parent)
    return reader.whole(), tuple(sorted(reader.faults, key=lambda fault: fault.line or 0))


class _Reader:
    """Takes the document apart and notes every fault on the way."""

    def __init__(self, document: Document, directory: Path) -> None:
        self._document = document
        self._directory = directory
        self.faults: list[ConfigurationFault] = list(document.faults)
        self._warnings: list[str] = []

    def whole(self) -> WebConfig:
        top = self._mapping((), self._document.value, TOP)
        http = self._mapping(("http_server_config",), top.get("http_server_config"), HTTP)
        self._flag(("http_server_config", "http2"), http.get("http2"), default=True)
        tls = self._mapping(("tls_server_config",), top.get("tls_server_config"), TLS)
        return WebConfig(
            tls=self._tls(tls) if any(tls.get(key) not in (None, "") for key in ENABLING) else None,
            headers=self._headers(http.get("headers")),
            users=self._users(top.get("basic_auth_users")),
            rate=self._rate(top.get("rate_limit")),
            warnings=tuple(self._warnings),
        )

    def _tls(self, given: Mapping[str, object]) -> ServerTls:
        place: Location = ("tls_server_config",)
        for inline, by_file in (("cert", "cert_file"), ("key", "key_file")):
            if given.get(inline) and given.get(by_file):
                self._fault((*place, by_file), "both", f"{inline} or {by_file}, not both")
            elif not given.get(inline) and not given.get(by_file):
                self._fault(
                    (*place, by_file), "nothing", f"{by_file} (or {inline}): TLS needs a certificate and its key"
                )
        auth = self._client_auth((*place, "client_auth_type"), given.get("client_auth_type"))
        oldest = self._version((*place, "min_version"), given.get("min_version"), "TLS12")
        newest = self._version((*place, "max_version"), given.get("max_version"), "TLS13")
        if oldest > newest:
            self._fault((*place, "min_version"), oldest, f"at most max_version, which is {newest}")
        ca_file, ca = self._file((*place, "client_ca_file"), given), self._text((*place, "client_ca"), given)
        if (ca_file or ca) and auth is ClientAuth.NONE:
            self._fault(
                (*place, "client_ca_file"), "an authority", "client_auth_type: RequireAndVerifyClientCert with it"
            )
        return ServerTls(
            cert_file=self._file((*place, "cert_file"), given),
            cert=self._text((*place, "cert"), given),
            key_file=self._file((*place, "key_file"), given),
            key=Secret(self._text((*place, "key"), given, secret=True)),
            client_auth=auth or ClientAuth.REQUIRED,
            client_ca_file=ca_file,
            client_ca=ca,
            client_allowed_sans=self._sans((*place, "client_allowed_sans"), given.get("client_allowed_sans"), auth),
            min_version=oldest,
            max_version=newest,
            ciphers=self._ciphers((*place, "cipher_suites"), given.get("cipher_suites")),
            prefer_server_ciphers=self._flag(
                (*place, "prefer_server_cipher_suites"), given.get("prefer_server_cipher_suites"), default=True
            ),
            curve=self._curve((*place, "curve_preferences"), given.get("curve_preferences")),
        )

    def _client_auth(self, place: Location, given: object) -> ClientAuth | None:
        if given in (None, ""):
            return ClientAuth.NONE
        if given in UNCHECKED:
            self._fault(place, shown(given), f"{ClientAuth.REQUIRED}: with that, any certificate at all would do")
        elif given not in list(ClientAuth):
            self._fault(place, shown(given), f"one of {', '.join(ClientAuth)}")
        else:
            return ClientAuth(str(given))
        return None

    def _sans(self, place: Location, given: object, auth: ClientAuth | None) -> tuple[str, ...] | None:
        if given is None:
            return None
        names = self._texts(place, given)
        if auth not in (ClientAuth.REQUIRED, None):
            self._fault(place, f"client_auth_type {auth}", f"client_auth_type: {ClientAuth.REQUIRED} with it")
        return names

    def _version(self, place: Location, given: object, default: str) -> str:
        if given is None or given == "":
            return default
        if given not in _VERSIONS:
            self._fault(place, shown(given), f"one of {', '.join(_VERSIONS)}")
        elif given in ("TLS11", "TLS10") and place[-1] == "max_version":
            self._fault(place, shown(given), "TLS12 or TLS13: this server speaks nothing older")
        elif given in ("TLS11", "TLS10"):
            self._warnings.append(f"{dotted(place)}: {given} is not spoken here, TLS12 is the oldest")
        else:
            return str(given)
        return default

    def _ciphers(self, place: Location, given: object) -> tuple[str, ...]:
        names = self._texts(place, given)
        for index, name in enumerate(names):
            if name not in CIPHERS:
                self._fault((*place, index), shown(name), f"one of {', '.join(CIPHERS)}")
        return tuple(CIPHERS[name] for name in names if CIPHERS.get(name))

    def _curve(self, place: Location, given: object) -> str | None:
        names = self._texts(place, given)
        for index, name in enumerate(names):
            if name not in CURVES:
                self._fault((*place, index), shown(name), f"one of {', '.join(CURVES)}")
        if len(names) > 1:
            self._warnings.append(f"{dotted(place)}: an order of several cannot be set here; OpenSSL's own is used")
        return CURVES.get(names[0]) if len(names) == 1 else None

    def _headers(self, given: object) -> Mapping[str, str]:
        place: Location = ("http_server_config", "headers")
        headers: dict[str, str] = {}
        for name, value in self._mapping(place, given, None).items():
            if name not in HEADERS:
                self._fault((*place, name), "a header that cannot be set", f"one of {', '.join(HEADERS)}")
            elif not isinstance(value, str | None) or not (value or "").isprintable():
                self._fault((*place, name), kind_of(value), "text on one line")
            elif value and HEADERS[name] and value not in HEADERS[name]:
                self._fault((*place, name), shown(value), f"one of {', '.join(HEADERS[name])}")
            else:
                headers[name] = value or ""
        return headers

    def _users(self, given: object) -> Mapping[str, Secret]:
        place: Location = ("basic_auth_users",)
        users: dict[str, Secret] = {}
        pairs = self._mapping(place, given, None)
        if len(pairs) > MOST_USERS:
            self._fault(place, f"{len(pairs)} users", f"at most {MOST_USERS}; put a proxy in front for more")
            return users
        for name, value in pairs.items():
            found = _HASH.fullmatch(value) if isinstance(value, str) else None
            if ":" in name:
                self._fault(place, "a name with a colon", "a name without one, as basic authentication needs it")
            elif found is None:
                literal = LITERAL if isinstance(value, str) and "${" in value else ""
                expected = f"a hash as `htpasswd -nBC 10 USER` prints it{literal}"
                self._fault((*place, name), "no bcrypt hash (not shown)", expected)
            elif not 4 <= int(found["cost"]) <= DEAREST:
                self._fault((*place, name), f"a hash of cost {int(found['cost'])}", f"a cost of 4 to {DEAREST}")
            else:
                users[name] = Secret(str(value))
        return users

    def _rate(self, given: object) -> tuple[float, int] | None:
        place: Location = ("rate_limit",)
        limit = self._mapping(place, given, RATE)
        interval, burst = limit.get("interval", 0), limit.get("burst", 0)
        seconds = _seconds(interval)
        if seconds is None:
            self._fault((*place, "interval"), shown(interval), "a duration as Go writes it, like 100ms or 1s, or 0")
        if not isinstance(burst, int) or isinstance(burst, bool) or burst < 0 or (seconds != 0 and burst < 1):
            self._fault((*place, "burst"), shown(burst), "how many requests may come at once, 1 or more")
            return None
        return (seconds, burst) if seconds else None

    def _mapping(self, place: Location, given: object, keys: frozenset[str] | None) -> Mapping[str, object]:
        if given is None:
            return {}
        if not isinstance(given, dict):
            self._fault(place, kind_of(given), "a mapping")
            return {}
        for key in given:
            if keys is not None and key not in keys:
                self._fault((*place, key), "an unknown key", f"one of {', '.join(sorted(keys))}")
        return given

    def _texts(self, place: Location, given: object) -> tuple[str, ...]:
        if given is None:
            return ()
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            self._fault(place, kind_of(given), "a list of texts")
            return ()
        return tuple(given)

    def _text(self, place: Location, given: Mapping[str, object], *, secret: bool = False) -> str:
        value = given.get(str(place[-1]))
        if value is not None and not isinstance(value, str):
            self._fault(place, kind_of(value) if secret else shown(value), "text")
        return value if isinstance(value, str) else ""

    def _file(self, place: Location, given: Mapping[str, object]) -> Path | None:
        name = self._text(place, given)
        return self._directory / name if name else None

    def _flag(self, place: Location, given: object, *, default: bool) -> bool:
        if isinstance(given, str):
            given = _BOOLEANS.get(given.lower(), given)
        if given is not None and not isinstance(given, bool):
            self._fault(place, shown(given), "true or false")
        return given if isinstance(given, bool) else default

    def _fault(self, place: Location, found: str, expected: str) -> None:
        line = self._document.line(place)
        self.faults.append(ConfigurationFault(path=dotted(place), found=found, expected=expected, line=line))


def _seconds(given: object) -> float | None:
    """Go's durations; a plain number counts nanoseconds, as yaml.v2 reads one.

    >>> _seconds("1m30s"), _seconds(0), _seconds("soon")
    (90.0, 0.0, None)
    """
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given * 1e-9
    if not isinstance(given, str) or not _DURATION.fullmatch(given):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(given))


TOP = frozenset({"tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"})
HTTP = frozenset({"http2", "headers"})
RATE = frozenset({"interval", "burst"})
ENABLING = ("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type")
"""Any of them means TLS, as the toolkit has it."""

TLS = frozenset(
    {
        *ENABLING,
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    }
)
