"""The configuration in force as YAML that could be loaded again, but for the secrets in it. Pure.

What `${NAME}` put into a URL, tenant, query or path of a file is shown as the file has it, for it may be a secret;
hosts, addresses, names and numbers are what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import yaml
from pydantic import BaseModel

from probe.model import Networks, Secret, as_written, plain_network
from probe.settings import Settings
from probe.settings.values import DURATION, FRACTION, SIZE, Listen

MASK = "****"
HEAD = "# In force now, defaults included. Secrets are masked; ${NAME} stands in URLs, queries and file names.\n"


def as_yaml(settings: Settings) -> str:
    """The whole configuration."""
    return HEAD + yaml.safe_dump(_plain(settings), sort_keys=False, allow_unicode=False, width=110)


def _plain(value: object, form: object = None) -> Any:
    if isinstance(value, BaseModel):
        described = type(value).model_fields
        return {key: _plain(getattr(value, key), _form(described[key].metadata)) for key in described}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Networks):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return _scalar(value, form)


def _scalar(value: object, form: object) -> Any:
    match value:
        case Secret():
            return MASK if value.reveal() else None
        case Listen():
            return _listen(value)
        case int() | float() if form in WRITTEN:
            return WRITTEN[form](value)
        case None | bool() | int() | float():
            return value
        case IPv4Network() | IPv6Network():
            return plain_network(value)
    return as_written(value)


def _duration(seconds: float) -> str:
    """As the file writes it.

    >>> _duration(30.0), _duration(2_592_000.0), _duration(0.25), _duration(90.0)
    ('30s', '30d', '0.25s', '90s')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _size(size: float) -> str:
    """As the file writes it.

    >>> _size(2_000_000_000), _size(1_500_000_000)
    ('2GB', '1500MB')
    """
    for unit, multiple in (("TB", 10**12), ("GB", 10**9)):
        if size % multiple == 0:
            return f"{size // multiple:.0f}{unit}"
    return f"{size // 10**6:.0f}MB"


WRITTEN: Mapping[object, Callable[[float], str]] = {
    DURATION: _duration,
    FRACTION: lambda part: f"{part * 100:g}%",
    SIZE: _size,
}
"""Numbers that the file writes with a unit."""


def _form(metadata: list[Any]) -> object:
    return next((one for one in metadata if one in WRITTEN), None)


def _listen(listen: Listen) -> str:
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{listen.transport}://{host}:{listen.port}"
