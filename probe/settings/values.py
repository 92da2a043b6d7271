"""How the file writes a value, and what it becomes: one type per kind of value.

- A type is a validator (file form -> domain value, or what was expected) and a JSON Schema of the file form.
- Numbers and true/false may also come as text, because `${NAME}` always is text.
- Defaults of the models are written in file form ("30s") and go through the same validators.
- A text, a URL or a path out of `${NAME}` stays `Expanded`: what is shown of it is what the file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path, PosixPath
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError, core_schema

from probe.model import (
    Address,
    AddressFamily,
    Expanded,
    ImprintKind,
    Network,
    ProxyHeader,
    Secret,
    Service,
    plain_address,
)

_Choice = TypeVar("_Choice", bound=StrEnum)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)")
_LONGEST = 3660 * _UNITS["d"]
_MULTIPLES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([0-9]{1,6})\s*(MB|GB|TB)")
_SMALLEST, _GREATEST = 10 * 10**6, 100 * 10**12
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_DIGITS = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"(?=.{1,253}\Z)[^\W_](?:[\w-]{0,62})(?:\.[\w-]{1,63})*\.?")
MAIL_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`|~.-]{1,64}@(?=.{1,253}\Z)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*"
)
"""Addresses that need neither quotes (RFC 5321 section 4.1.2) nor SMTPUTF8."""
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
OUR_LABELS = ("vantage", "path", "service", "severity")
"""Labels of what is pushed that the configuration does not give; `job` it may."""
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS_PATTERN = rf"(?:{_OCTET}(?:\.{_OCTET}){{3}}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\S+)?)"
_NAME_PATTERN = r"[^\s/:]*[^\s/:.0-9][^\s/:.]*\.?"
"""Wider than _HOST, for every reader of JSON Schema: the last label is no number."""
_PORT_PATTERN = "0?[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VARIABLE_PATTERN = r"\$\{"


class ExpandedPath(PosixPath):
    """The path of a file, with variables replaced. Paths that are made of it are plain ones in this respect."""

    template = ""

    @classmethod
    def of(cls, text: Expanded) -> ExpandedPath:
        """The path that such a text names."""
        path = cls(str(text))
        path.template = text.template
        return path


def unfit(
    expected: str, *, found: str | None = None, at: str | None = None, reason: str | None = None
) -> PydanticCustomError:
    """Say what was expected. `found` replaces the value, `reason` follows it, `at` names a sibling that is at fault."""
    told = {"expected": expected, "found": found, "at": at, "reason": reason}
    return PydanticCustomError("unfit", "{expected}", told)


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Marks a type as written in this form: `read` validates, `schema` describes it to editors.

    Stands for the type's own schema instead of wrapping it: that halves the time to build the models.
    """

    read: Callable[[object], object]
    schema: dict[str, Any]
    masked: bool = False

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> core_schema.CoreSchema:
        serialization = core_schema.to_string_ser_schema() if self.masked else None
        return core_schema.no_info_plain_validator_function(self.read, serialization=serialization)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        return dict(self.schema)


def _or_variable(**schema: Any) -> dict[str, Any]:
    """Schema of a value that may also be a `${NAME}`."""
    return {"anyOf": [schema, {"type": "string", "pattern": _VARIABLE_PATTERN}]}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value) or len(value) > 4096:
        raise unfit("text on one line" if not isinstance(value, int | float) else "text: put it in quotes")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise unfit("true or false")
    return value


def _whole(lowest: int, highest: int, expected: str) -> Callable[[object], int]:
    def whole(value: object) -> int:
        number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) and value.isascii() else value
        if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= highest:
            raise unfit(f"{expected}, {lowest} to {highest}")
        return number

    return whole


def _duration(value: object) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0.0 < seconds <= _LONGEST:
        raise unfit("a duration above zero with its unit, like 250ms, 30s, 5m, 12h or 30d")
    return seconds


def _size(value: object) -> int:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(found[1]) * _MULTIPLES[found[2]] if found else 0
    if not _SMALLEST <= size <= _GREATEST:
        raise unfit("a size of 10MB or more with its unit, like 500MB, 2GB or 1TB")
    return size


def _fraction(value: object) -> float:
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    fraction = float(percent[1]) / 100 if percent else value
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction < 1:
        raise unfit("a percentage like 10%, below 100%")
    return float(fraction)


def _address(value: object) -> Address:
    try:
        return plain_address(value if isinstance(value, str) else "")
    except ValueError:
        raise unfit("an IPv4 or IPv6 address") from None


def _addresses(value: object) -> tuple[Address, ...]:
    try:
        given = value if isinstance(value, list) else [value]
        found = tuple(plain_address(one if isinstance(one, str) else "") for one in given)
    except ValueError:
        found = ()
    if not found:
        raise unfit("an IPv4 or IPv6 address, or a list of them")
    return found


def _network(value: object) -> Network:
    text = str(value) if isinstance(value, str) else ""
    try:
        return ip_network(text, strict=True)
    except ValueError:
        pass
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise unfit("an address or a CIDR, like 10.0.20.1 or 10.0.20.0/24") from None
    single = f"{text.partition('/')[0]}/{whole.max_prefixlen}"
    raise unfit(f"a network without host bits: {whole} for the network, {single} for the one address")


def _label(value: object) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value) or value.startswith("__"):
        raise unfit("the name of a label: letters, digits and _, not a digit first, nor __")
    if value in OUR_LABELS:
        raise unfit(f"another name: {value} is mailprobe's own")
    return str(value)


def _label_value(value: object) -> str:
    text = _text(value)
    if len(text) > 256:
        raise unfit("text of at most 256 characters")
    return text


def _mail_address(value: object) -> str:
    if not isinstance(value, str) or not MAIL_ADDRESS.fullmatch(value):
        raise unfit("a mail address, like probe@example.org")
    return str(value)


def _sender(value: object) -> str:
    text = value if isinstance(value, str) else "?"
    if text and not MAIL_ADDRESS.fullmatch(text.replace("{token}", "token")):
        raise unfit('a mail address, which may hold {token}, or "" for the null sender')
    return str(text)


def _host(value: object) -> str:
    text = str(value) if isinstance(value, str) else ""
    try:
        return str(plain_address(text)) if "%" not in text else text
    except ValueError:
        pass
    # A name whose last label is a number is a mistyped IPv4 address to every resolver.
    if not _HOST.fullmatch(text) or text.rstrip(".").rpartition(".")[2].isdigit():
        raise unfit("a host name or an address, without a port, a scheme or brackets")
    return text


def _file(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value) or len(value) > 4096:
        raise unfit("the path of a file")
    return ExpandedPath.of(value) if isinstance(value, Expanded) else Path(value)


def _url(value: object) -> str:
    text = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if "@" in parts.netloc or ("@" in text and not sound):
        raise unfit("a URL without a user name or password in it", found="a URL with credentials (not shown)")
    if not sound or _CONTROL.search(text) or " " in text:
        raise unfit("a URL, http:// or https://")
    return text


def without_query(url: str, expected: str) -> str:
    """The URL, unless it has a query: that is where tokens stand, and URLs are shown."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise unfit(expected, found="a URL with a query or a fragment (not shown)")
    return url


def _counter(value: object) -> str:
    from probe.evidence.dovecot_metrics import selector  # noqa: PLC0415 - few configurations name a counter

    try:
        return str(selector(value if isinstance(value, str) else ""))
    except ValueError:
        raise unfit('a metric by name, or with labels: NAME or NAME{label="value"}') from None


NO_SECRET: Final = Secret("")
"""What stands for a secret that the file does not give in this way."""


def _secret(value: object) -> Secret:
    if value is None:
        return NO_SECRET
    if not isinstance(value, Expanded):
        raise unfit("${NAME} of an environment variable, or password_file instead", found="a password in the file")
    if not value:
        raise unfit("a password in that variable", found=f"{value.template}, which is empty")
    return Secret(str(value))


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. An empty `host` is every address of the machine."""

    transport: str
    host: str
    port: int


def _listen_pattern(*transports: str) -> str:
    """Accept `host:port`; with more than one transport only `transport://host:port`. Groups: transport, host, port."""
    prefix = f"(?:({'|'.join(transports)})://)" + ("" if len(transports) > 1 else "?")
    return rf"{prefix}(\[[0-9a-fA-F:.]{{2,45}}\]|[A-Za-z0-9_.-]{{0,253}}):({_PORT_PATTERN})"


def _listen(*transports: str) -> Form:
    pattern = re.compile(_listen_pattern(*transports))
    expected = " or ".join(f"{name}://host:port" for name in transports) if len(transports) > 1 else "host:port"

    def listen(value: object) -> Listen:
        found = pattern.fullmatch(value) if isinstance(value, str) else None
        if not found:
            raise unfit(f"where to listen: {expected}")
        return Listen(found[1] or transports[0], found[2].strip("[]"), int(found[3]))

    return Form(listen, _pattern(expected, f"^{pattern.pattern}$"))


def _choice(kind: type[_Choice]) -> Callable[[object], _Choice]:
    def choice(value: object) -> _Choice:
        try:
            return kind(value if isinstance(value, str) else "")
        except ValueError:
            raise unfit("one of " + ", ".join(kind)) from None

    return choice


class ReplyMode(StrEnum):
    """Whether replies that carry the client's address count as evidence."""

    AUTO = "auto"
    OFF = "off"


def _names(kind: type[StrEnum]) -> dict[str, Any]:
    return _or_variable(type="string", enum=[str(member) for member in kind])


def _pattern(meaning: str, pattern: str) -> dict[str, Any]:
    return _or_variable(**{"$comment": meaning, "type": "string", "pattern": pattern})


def _text_that_is(meaning: str) -> dict[str, Any]:
    return {"$comment": meaning, "type": "string", "minLength": 1}


_VARIABLE: dict[str, Any] = {"$comment": "`${NAME}`", "type": "string", "pattern": _VARIABLE_PATTERN}
_PERCENTAGE: dict[str, Any] = {
    "$comment": "percentage",
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*%$"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": _VARIABLE_PATTERN},
    ],
}

Text = Annotated[str, Form(_text, _text_that_is("text"))]
LabelName = Annotated[str, Form(_label, _text_that_is("label"))]
LabelValue = Annotated[str, Form(_label_value, _text_that_is("text"))]
Host = Annotated[str, Form(_host, _pattern("host name or address", f"^(?:{_ADDRESS_PATTERN}|{_NAME_PATTERN})$"))]
MailAddress = Annotated[str, Form(_mail_address, _text_that_is("mail address"))]
Sender = Annotated[str, Form(_sender, {"$comment": "mail address or empty", "type": "string"})]
Url = Annotated[str, Form(_url, _pattern("URL", "^https?://"))]
Counter = Annotated[str, Form(_counter, _text_that_is("metric"))]
FilePath = Annotated[Path, Form(_file, _text_that_is("file"))]
Flag = Annotated[bool, Form(_flag, _or_variable(type="boolean"))]
Port = Annotated[int, Form(_whole(1, 65535, "a TCP port"), _or_variable(type="integer", minimum=1, maximum=65535))]
Rate = Annotated[
    int, Form(_whole(1, 600, "a number of sessions"), _or_variable(type="integer", minimum=1, maximum=600))
]
DURATION = Form(_duration, _pattern("duration", r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$"))
FRACTION = Form(_fraction, _PERCENTAGE)
SIZE = Form(_size, _pattern("size", r"^[0-9]{1,6}\s*(MB|GB|TB)$"))
Duration = Annotated[float, DURATION]
Size = Annotated[int, SIZE]
Fraction = Annotated[float, FRACTION]
_ADDRESS = _pattern("address", f"^{_ADDRESS_PATTERN}$")
IpAddress = Annotated[Address, Form(_address, _ADDRESS)]
IpAddresses = Annotated[
    tuple[Address, ...],
    Form(_addresses, {"anyOf": [_ADDRESS, {"type": "array", "items": _ADDRESS}]}),
]
Cidr = Annotated[Network, Form(_network, _pattern("address or CIDR", rf"^{_ADDRESS_PATTERN}(?:/[0-9.]{{1,15}})?$"))]
Password = Annotated[
    Secret, Form(_secret, {"$comment": "`${NAME}`", "type": "string", "pattern": _VARIABLE_PATTERN}, masked=True)
]
TcpListen = Annotated[Listen, _listen("tcp")]
SyslogListen = Annotated[Listen, _listen("udp", "tcp")]
ServiceName = Annotated[Service, Form(_choice(Service), _names(Service))]
ImprintName = Annotated[ImprintKind, Form(_choice(ImprintKind), _names(ImprintKind))]
HeaderName = Annotated[ProxyHeader, Form(_choice(ProxyHeader), _names(ProxyHeader))]
FamilyName = Annotated[AddressFamily, Form(_choice(AddressFamily), _names(AddressFamily))]
ReplyName = Annotated[ReplyMode, Form(_choice(ReplyMode), _names(ReplyMode))]
