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
    _describe(made)
    # The model cannot know the host name.
    del made["$defs"]["VantageSettings"]["properties"]["name"]["default"]
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
    """Say which keys the mapping around an unknown key has, and which one it resembles."""
    keys = _keys_around(location, raw)
    unknown = str(location[-1])
    nearest = difflib.get_close_matches(unknown, keys, n=1, cutoff=0.6)
    meant = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"one of {', '.join(keys)}{meant}"


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
    """Drop generated titles (they repeat the key) and defaults that only say "not given"."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str) and node["title"] != TITLE:
            del node["title"]
        if "default" in node and node["default"] is None:
            del node["default"]
        for child in node.values():
            _tidy(child)
    elif isinstance(node, list):
        for child in node:
            _tidy(child)


def _describe(root: Mapping[str, Any]) -> None:
    """Give a key the description of the mapping it holds, where pydantic left it out as a repetition."""
    for holder in (root, *root["$defs"].values()):
        for node in holder.get("properties", {}).values():
            node.setdefault("description", resolved(node, root).get("description"))
