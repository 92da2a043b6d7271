"""How the file writes a value, and what it becomes: one type per kind of value.

- Every type is a validator (file form -> domain value, or what was expected instead) and a JSON Schema of the file form.
- Numbers and true/false may also come as text, because `${NAME}` always is text.
- Defaults of the models are written in file form ("30s") and go through the same validators.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from probe.model import Address, AddressFamily, ImprintKind, Network, ProxyHeader, Secret, Service, plain_address
from probe.settings.document import Expanded

_Choice = TypeVar("_Choice", bound=StrEnum)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)")
_LONGEST = 3660 * _UNITS["d"]
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_DIGITS = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"(?=.{1,253}\Z)[^\W_](?:[\w-]{0,62})(?:\.[\w-]{1,63})*\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VARIABLE_PATTERN = r"\$\{"


def unfit(expected: str, *, found: str | None = None, at: str | None = None) -> PydanticCustomError:
    """Say what was expected. `found` replaces the value in the message, `at` names a sibling key that is at fault."""
    return PydanticCustomError("unfit", "{expected}", {"expected": expected, "found": found, "at": at})


def _or_variable(schema: dict[str, Any]) -> WithJsonSchema:
    if schema.get("type") == "string" and "enum" not in schema and "pattern" not in schema:
        return WithJsonSchema(schema)
    return WithJsonSchema({"anyOf": [schema, {"type": "string", "pattern": _VARIABLE_PATTERN}]})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value) or len(value) > 4096:
        raise unfit("text on one line" if not isinstance(value, int | float) else "text: put it in quotes")
    return str(value)


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
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value) or len(value) > 4096:
        raise unfit("the path of a file")
    return Path(value)


def _url(value: object) -> str:
    text = str(value) if isinstance(value, str) else ""
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


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
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


def _listen(*transports: str) -> Callable[[object], Listen]:
    """Accept `host:port`; with more than one transport also `transport://host:port`."""
    prefix = f"(?:({'|'.join(transports)})://)" + ("" if len(transports) > 1 else "?")
    pattern = re.compile(prefix + r"(\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{0,253}):([0-9]{1,5})", re.ASCII)
    expected = "host:port" if len(transports) == 1 else " or ".join(f"{name}://host:port" for name in transports)

    def listen(value: object) -> Listen:
        found = pattern.fullmatch(value) if isinstance(value, str) else None
        if not found or int(found[3]) > 65535:
            raise unfit(f"where to listen: {expected}")
        return Listen(found[1] or transports[0], found[2].strip("[]"), int(found[3]))

    return listen


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


def _enum(kind: type[StrEnum]) -> WithJsonSchema:
    return _or_variable({"type": "string", "enum": [str(member) for member in kind]})


_STRING: dict[str, Any] = {"type": "string", "minLength": 1}

Text = Annotated[str, PlainValidator(_text), _or_variable(_STRING)]
Host = Annotated[str, PlainValidator(_host), _or_variable(_STRING)]
Url = Annotated[str, PlainValidator(_url), _or_variable({"type": "string", "pattern": "^https?://"})]
FilePath = Annotated[Path, PlainValidator(_file), _or_variable(_STRING)]
Flag = Annotated[bool, PlainValidator(_flag), _or_variable({"type": "boolean"})]
Port = Annotated[
    int,
    PlainValidator(_whole(1, 65535, "a TCP port")),
    _or_variable({"type": "integer", "minimum": 1, "maximum": 65535}),
]
Rate = Annotated[
    int,
    PlainValidator(_whole(1, 600, "a number of sessions")),
    _or_variable({"type": "integer", "minimum": 1, "maximum": 600}),
]
Duration = Annotated[
    float,
    PlainValidator(_duration),
    _or_variable({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$"}),
]
Fraction = Annotated[
    float,
    PlainValidator(_fraction),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*%$"},
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": _VARIABLE_PATTERN},
            ]
        }
    ),
]
IpAddress = Annotated[Address, PlainValidator(_address), _or_variable(_STRING)]
Cidr = Annotated[Network, PlainValidator(_network), _or_variable(_STRING)]
Password = Annotated[
    Secret,
    PlainValidator(_secret),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _VARIABLE_PATTERN}),
]
TcpListen = Annotated[
    Listen, PlainValidator(_listen("tcp")), _or_variable({"type": "string", "pattern": r":[0-9]{1,5}$"})
]
SyslogListen = Annotated[
    Listen,
    PlainValidator(_listen("udp", "tcp")),
    _or_variable({"type": "string", "pattern": r"^(udp|tcp)://.*:[0-9]{1,5}$"}),
]
ServiceName = Annotated[Service, PlainValidator(_choice(Service)), _enum(Service)]
ImprintName = Annotated[ImprintKind, PlainValidator(_choice(ImprintKind)), _enum(ImprintKind)]
HeaderName = Annotated[ProxyHeader, PlainValidator(_choice(ProxyHeader)), _enum(ProxyHeader)]
FamilyName = Annotated[AddressFamily, PlainValidator(_choice(AddressFamily)), _enum(AddressFamily)]
ReplyName = Annotated[ReplyMode, PlainValidator(_choice(ReplyMode)), _enum(ReplyMode)]
