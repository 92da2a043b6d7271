"""Grafana's own JSON schemas, and where the Prometheus operator's are: both are theirs and not part of this repository.

- They are looked for in the folder `shared/schemas` beside the repository, or where MAILPROBE_SCHEMAS says. Where they
  are not, a test is skipped and says so; under CI it then fails (conftest.py).
- Grafana's generator writes "anything" as an object without rules. Grafana means anything: names of fields, units
  and queries stand there as text. Those places are opened, nothing else; queries are held against their own schema.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

BESIDE = Path(__file__).parents[3] / "shared" / "schemas"
ANYTHING = {"type": "object", "additionalProperties": {}}


def folder(name: str) -> Path:
    """Where the schemas of this name are; skips the test where they are not."""
    place = Path(os.environ.get("MAILPROBE_SCHEMAS", BESIDE)) / name
    if not place.is_dir():
        pytest.skip(f"left out: no schemas in {place}; set MAILPROBE_SCHEMAS")
    return place


@cache
def grafana(name: str, definition: str = "") -> Draft7Validator | None:
    """The schema of this name, or one of its definitions; None if it has no such definition."""
    schema = opened(
        json.loads((folder("grafana") / f"{name.replace('-', '')}.jsonschema.json").read_text(encoding="utf-8"))
    )
    if definition and definition not in schema["definitions"]:
        return None
    return Draft7Validator({**schema, "$ref": f"#/definitions/{definition}"} if definition else schema)


def opened(schema: Any) -> Any:
    """The schema with "any object" read as "anything"."""
    if isinstance(schema, list):
        return [opened(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if {key: rule for key, rule in schema.items() if key != "description"} == ANYTHING:
        return {}
    return {key: opened(rule) for key, rule in schema.items()}


def faults(content: object, name: str, definition: str = "") -> list[str]:
    """What the schema has against it, each with its place."""
    validator = grafana(name, definition)
    assert validator is not None, f"{name} has no {definition}"
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(content)]
