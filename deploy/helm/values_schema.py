"""Puts the schema of the configuration into the chart's values.schema.json, so that Helm refuses what the probe would.

- Of the file only `properties.config` and `$defs` are written; the rest is written by hand.
- `paths` is not required there: that it is missing is told by a sentence of the chart's own.
- What may be left out may be null there: a key without a value is the same as no key (docs/configuration.md).
- A password may be any text there: Helm would repeat one that does not fit a pattern. A sentence of the chart's own
  refuses it.
- Run by `make chart-schema`; a test holds the file against it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from probe.settings import schema

FILE = Path(__file__).parent / "mailprobe/values.schema.json"


def with_configuration(values: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of the values with that of `config` as `probe schema` has it now."""
    told = schema()
    config = {key: told[key] for key in ("type", "additionalProperties", "description", "properties")}
    definitions = told["$defs"]
    for definition in definitions.values():
        definition.get("properties", {}).get("password", {}).pop("pattern", None)
    for one in (config, *definitions.values()):
        for key in set(one.get("properties", ())) - set(one.get("required", ())):
            one["properties"][key] = _or_null(one["properties"][key])
    return {**values, "properties": {**values["properties"], "config": config}, "$defs": definitions}


def _or_null(one: dict[str, Any]) -> dict[str, Any]:
    """A property that may have no value."""
    kinds = one.get("anyOf", [])
    if {"type": "null"} in kinds:
        return one
    if kinds:
        return {**one, "anyOf": [*kinds, {"type": "null"}]}
    if "type" in one and "enum" not in one and "const" not in one:
        return {**one, "type": [one["type"], "null"]}
    kind = {key: value for key, value in one.items() if key not in ("default", "description", "examples")}
    return {**{key: value for key, value in one.items() if key not in kind}, "anyOf": [kind, {"type": "null"}]}


def text(values: dict[str, Any]) -> str:
    """Give the file's text."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(with_configuration(json.loads(FILE.read_text(encoding="utf-8")))), encoding="utf-8")
