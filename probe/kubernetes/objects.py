"""Parts of an object that an API gave: what is not of the expected form is empty. Pure."""

from __future__ import annotations

from typing import Any


def part(held: object, *keys: str) -> dict[str, Any]:
    """The mapping that these keys lead to.

    >>> part({"spec": {"selector": {"app": "mail"}}}, "spec", "selector"), part({"spec": 1}, "spec", "selector")
    ({'app': 'mail'}, {})
    """
    for key in keys:
        held = held.get(key) if isinstance(held, dict) else None
    return held if isinstance(held, dict) else {}


def parts(held: object, key: str) -> list[dict[str, Any]]:
    """The mappings in a list.

    >>> parts({"items": [{"a": 1}, "b", None]}, "items"), parts({"items": 1}, "items")
    ([{'a': 1}], [])
    """
    found = held.get(key) if isinstance(held, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(held: object, key: str) -> str:
    """The text under a key.

    >>> text({"name": "a"}, "name"), text({"name": 1}, "name"), text(None, "name")
    ('a', '', '')
    """
    found = held.get(key) if isinstance(held, dict) else None
    return found if isinstance(found, str) else ""


def number(held: object, key: str) -> int:
    """The whole number under a key, else 0.

    >>> number({"port": 25}, "port"), number({"port": True}, "port"), number({}, "port")
    (25, 0, 0)
    """
    found = held.get(key) if isinstance(held, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
