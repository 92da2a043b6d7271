"""Puts the schema of the configuration into the chart's values.schema.json, so that Helm refuses what the probe would.

- Of the file only `properties.config` and `$defs` are written; the rest is written by hand.
- `paths` is not required there: that it is missing is told by a sentence of the chart's own.
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
    return {**values, "properties": {**values["properties"], "config": config}, "$defs": definitions}


def text(values: dict[str, Any]) -> str:
    """Give the file's text."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(with_configuration(json.loads(FILE.read_text(encoding="utf-8")))), encoding="utf-8")
