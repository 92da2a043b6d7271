"""JSON Schema of the configuration *file*, for editors; the reference and the hints about keys are read off it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from probe.settings.faults import Location
from probe.settings.parts import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "mailprobe configuration"


def schema() -> dict[str, Any]:
    """Give the schema, draft 2020-12."""
    made = Settings.model_json_schema(mode="validation")
    made = {"$schema": DIALECT, **made, "title": TITLE}
    _tidy(made)
    return made


def resolved(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a node to the schema it means: through `$ref` and through the null that stands for "not given"."""
    while True:
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
        elif any("$ref" in option for option in node.get("anyOf", ())):
            node = next(option for option in node["anyOf"] if "$ref" in option)
        else:
            return node


def known_keys(location: Location, raw: object) -> str:
    """Say which keys the mapping around an unknown key has, the nearest first."""
    keys = _keys_around(location, raw)
    unknown = str(location[-1])
    nearest = difflib.get_close_matches(unknown, keys, n=1, cutoff=0.6)
    if nearest:
        return f"{nearest[0]!r}, perhaps"
    return "one of " + ", ".join(keys)


def _keys_around(location: Location, raw: object) -> list[str]:
    root = schema()
    node: Mapping[str, Any] = root
    for step in location[:-1]:
        raw = _step(raw, step)
        node = resolved(node["items"] if isinstance(step, int) else node["properties"][step], root)
        if "oneOf" in node and isinstance(raw, dict):
            kind = str(raw.get("kind"))
            node = resolved({"$ref": node["discriminator"]["mapping"][kind]}, root)
    return list(node["properties"])


def _step(raw: object, step: str | int) -> object:
    if isinstance(raw, dict):
        return raw.get(step)
    return raw[step] if isinstance(raw, list) and isinstance(step, int) else None


def _tidy(node: object) -> None:
    """Remove generated titles: they repeat the key and hide the description in an editor's tooltip."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str) and node["title"] != TITLE and "properties" != node.get("title"):
            del node["title"]
        for child in node.values():
            _tidy(child)
    elif isinstance(node, list):
        for child in node:
            _tidy(child)
