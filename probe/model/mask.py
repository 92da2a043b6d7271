r"""What others say, without the secrets that we sent them: a proxy may quote a request's headers or its URL.

Rules:
- Whatever a server says of a request that carried secrets goes through here before it is cut and shown: half a secret
  is one too.
- A secret is known whichever way each of its characters is written, for who quotes a URL decodes some of them and
  encodes others: `_QUOTINGS` is the one list for all that is masked. A header that is quoted in part is taken out by
  its name.

>>> without_credentials('403: {"Authorization": "Bearer s3cret\\/x"}, token s3cret/x', "Bearer s3cret/x")
'403: {"Authorization": "****"}, token ****'
>>> without("no route to /s3cr%2ft/A%22", 's3cr/t%2F%41"', "${SEGMENT}")
'no route to /${SEGMENT}'
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from functools import lru_cache

MASK = "****"
_HEADER = re.compile(r"""(\bauthorization\b["']?\s*[:=]\s*\[?["']?)\s*(?:(?:bearer|basic)\s+)?[^\s"',<>\]})]+""", re.I)

_PIECES = re.compile(
    r"(?P<plain>[A-Za-z0-9._~-]+)|(?P<octets>(?:%[0-9A-Fa-f]{2})+)|(?P<slashes>\\+)|(?P<other>.)", re.S
)
"""Of a secret: what nobody quotes (RFC 3986, unreserved), what is quoted in it already, and what may be."""

_SLASH = r"(?:\\|(?i:%(?:25)?5C)|(?i:&\#(?:92|x5c);))"
"""A backslash; of several any may be doubled, which is told by their number: a choice at each would be one too many."""


def _octets(character: str) -> bytes:
    """Surrogates are octets that were no UTF-8, or nobody's."""
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")


def _percent(character: str, sign: str = "%") -> str:
    return "".join(f"{sign}{octet:02X}" for octet in _octets(character))


_QUOTINGS: tuple[Callable[[str], str], ...] = (
    str,
    _percent,
    lambda one: _percent(one, "%25"),
    lambda one: "+" if one == " " else one,
    html.escape,
    lambda one: f"&#{ord(one)};",
    lambda one: f"&#x{ord(one):x};",
    lambda one: json.dumps(one)[1:-1],
    lambda one: repr(one)[1:-1],
    lambda one: f"\\{one}",
    lambda one: f"\\u{ord(one):04x}",
    lambda one: "".join(f"\\x{octet:02x}" for octet in _octets(one)),
)
"""How a character may be written: as it is, in a URL once or twice, in a form, HTML, JSON, IMAP, a program's text."""


def without_credentials(text: str, authorization: str) -> str:
    """The text with a mask in place of all that an Authorization header holds; an empty header holds nothing."""
    for secret in _secrets_in(authorization):
        text = without(text, secret)
    return _HEADER.sub(rf"\1{MASK}", text)


def without(text: str, secret: str, shown: str = MASK) -> str:
    """The text with something else in place of a secret, in whatever quoting; an empty one is nowhere."""
    return _pattern(secret).sub(lambda _: shown, text) if secret else text


@lru_cache(maxsize=8_192)  # what a thousand endpoints with passwords of their own look for
def _pattern(secret: str) -> re.Pattern[str]:
    return re.compile("".join(_patterns(secret)))


def _patterns(secret: str) -> Iterator[str]:
    for piece in _PIECES.finditer(secret):
        if piece["plain"]:
            yield re.escape(piece["plain"])
        elif piece["octets"]:
            yield from map(_quoted, bytes.fromhex(piece["octets"].replace("%", "")).decode("utf-8", "surrogateescape"))
        elif piece["slashes"]:
            yield f"{_SLASH}{{{len(piece['slashes'])},{4 * len(piece['slashes'])}}}"
        else:
            yield _quoted(piece["other"])


def _quoted(character: str) -> str:
    """The longest first, for one may be the beginning of another; hexadecimal digits in either case."""
    forms = sorted({quoting(character) for quoting in _QUOTINGS}, key=len, reverse=True)
    return "(?:" + "|".join(f"(?i:{re.escape(one)})" if len(one) > 1 else re.escape(one) for one in forms) + ")"


def _secrets_in(authorization: str) -> list[str]:
    """The longest first, for one may be a part of another."""
    scheme, _, value = authorization.partition(" ")
    held = {value.strip(), value.strip().rstrip("=")}
    if scheme.lower() == "basic":
        held |= _pair(value)
    return sorted(held, key=len, reverse=True)


def _pair(value: str) -> set[str]:
    try:
        pair = b64decode(value).decode()
    except (Base64Error, UnicodeDecodeError):
        return set()
    return {pair, pair.partition(":")[2]}
