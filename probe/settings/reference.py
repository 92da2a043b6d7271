"""Writes docs/configuration.md from the schema: `python -m probe.settings.reference > docs/configuration.md`.

Nothing is said twice: meaning, default and example of a key are its field's in parts.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from probe.settings.schema import resolved, schema

Node = Mapping[str, Any]

_TYPES = {"string": "text", "boolean": "`true` \\| `false`", "object": "mapping"}

_PREFACE = """\
# Configuration reference

<!-- Written by `python -m probe.settings.reference > docs/configuration.md` from the models in probe/settings. -->

mailprobe reads one YAML file: the one `--config` names, else `$MAILPROBE_CONFIG`, else `./mailprobe.yaml`, else
`/etc/mailprobe/mailprobe.yaml`; where both of these are there, a line on standard error says which one it is.
`mailprobe.example.yaml` is a commented file to start from; `probe check-config` tells every fault of a file at once;
`probe schema` prints its JSON Schema for editors.

- Unknown keys are errors, and so is a key given twice. A key without a value is the same as no key.
- Durations have a unit: `250ms`, `30s`, `5m`, `12h`, `30d`. Networks are addresses or CIDRs without host bits.
- `${NAME}` in a value is replaced by the environment variable of that name, which must be set; `$${` stands for the
  characters `${`. Inside `{…}` and `[…]` such a value needs quotes.
- Secrets come from a `*_file` or from `${NAME}`, never out of the file itself, and are never printed. What `${NAME}`
  put into a URL, a tenant, a query or the path of a log is in no name, label, log line or page either: `${NAME}` is.
  Hosts, addresses, and the names of vantage, paths, nodes and objects are shown as they are.
- File names that are not absolute count from the directory the probe is started in.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key of the file: `path` with `[]` for a list's items and `<name>` for names of the user's choice."""

    path: str
    node: Node
    type: str
    required: bool


def keys(root: Node) -> Iterator[Key]:
    """Every key of the file, outer before inner."""
    yield from _keys_of(root, "", root)


def _keys_of(mapping: Node, prefix: str, root: Node) -> Iterator[Key]:
    for name, node in mapping.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield Key(path=path, node=node, type=_type(node, root), required=name in mapping.get("required", ()))
        yield from _inner_keys(resolved(node, root), path, root)


def _inner_keys(node: Node, path: str, root: Node) -> Iterator[Key]:
    if "properties" in node:
        yield from _keys_of(node, f"{path}.", root)
    elif isinstance(node.get("items"), Mapping):
        item = resolved(node["items"], root)
        for kind, option in item.get("discriminator", {}).get("mapping", {}).items():
            yield from _keys_of(resolved({"$ref": option}, root), f"{path}[kind={kind}].", root)
        if "properties" in item:
            yield from _keys_of(item, f"{path}[].", root)


def _type(node: Node, root: Node) -> str:
    node = resolved(node, root)
    if "$comment" in node:
        return str(node["$comment"])
    if "anyOf" in node:
        return _type(node["anyOf"][0], root)
    if choices := node.get("enum") or ([node["const"]] if "const" in node else []):
        return " \\| ".join(f"`{choice}`" for choice in choices)
    if node.get("type") == "array":
        return f"list of {_type(node['items'], root)}"
    if node.get("type") == "integer":
        return f"number {node['minimum']}–{node['maximum']}"
    return "mapping" if "oneOf" in node else _TYPES[str(node.get("type"))]


def _row(key: Key) -> str:
    node = key.node
    default = "required" if key.required else "–"
    if node.get("default") not in (None, {}, []):
        default = f"`{_flow(node['default'])}`"
    example = f"`{_flow(node['examples'][0])}`" if node.get("examples") else ""
    cells = (f"`{key.path}`", key.type, default, node["description"], example.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |"


def _flow(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return json.dumps(value)


def reference() -> str:
    """Give the whole page."""
    root = schema()
    pages = [_PREFACE]
    for key in keys(root):
        if "." not in key.path:
            pages.append(f"\n## `{key.path}`\n\n{key.node['description']}\n\n")
            pages.append("| key | type | default | meaning | example |\n|---|---|---|---|---|\n")
        pages.append(f"{_row(key)}\n")
    return "".join(pages)


if __name__ == "__main__":
    print(reference(), end="")
