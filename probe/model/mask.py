r"""What others say, without the credentials that we sent them: a proxy may quote a request's headers as it refuses it.

Rules:
- Whatever a server says of a request that carried credentials goes through here before it is cut and shown: half a
  secret is one too.
- A secret is known in the forms that a page or a JSON text gives it. A header that is quoted in part is taken out by
  its name.

>>> without_credentials('403: {"Authorization": "Bearer s3cret\\/x"}, token s3cret/x', "Bearer s3cret/x")
'403: {"Authorization": "****"}, token ****'
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error

_MASK = "****"
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_QUOTED = re.compile(r"""(\bauthorization\b["']?\s*[:=]\s*\[?["']?)\s*(?:(?:bearer|basic)\s+)?[^\s"',<>\]})]+""", re.I)


def without_credentials(text: str, authorization: str) -> str:
    """The text with a mask in place of all that an Authorization header holds; an empty header holds nothing."""
    for secret in _secrets_in(authorization):
        text = text.replace(secret, _MASK)
    return _QUOTED.sub(rf"\1{_MASK}", text)


def _secrets_in(authorization: str) -> list[str]:
    """The longest first, for one may be a part of another."""
    scheme, _, value = authorization.partition(" ")
    held = {value.strip(), value.strip().rstrip("=")}
    if scheme.lower() == "basic":
        held |= _pair(value)
    forms = {form for secret in held if secret for form in _forms(secret)}
    return sorted(forms, key=len, reverse=True)


def _pair(value: str) -> set[str]:
    try:
        pair = b64decode(value).decode()
    except (Base64Error, UnicodeDecodeError):
        return set()
    return {pair, pair.partition(":")[2]}


def _forms(secret: str) -> set[str]:
    told = json.dumps(secret)[1:-1]
    return {
        secret,
        repr(secret)[1:-1],
        told,
        told.replace("/", "\\/"),
        secret.translate(_HTML),
        _in_url(secret, b"/"),
        _in_url(secret, b""),
    }


def _in_url(secret: str, kept: bytes) -> str:
    """Percent-encoded (RFC 3986), but for these octets."""
    octets = secret.encode("utf-8", "replace")
    return "".join(chr(octet) if octet in _UNRESERVED or octet in kept else f"%{octet:02X}" for octet in octets)
