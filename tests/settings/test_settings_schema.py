"""Editors and the reference say the same as the models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from probe.settings import schema
from probe.settings.document import decoded, parsed
from probe.settings.reference import keys, reference
from tests.settings.bad_folder import FOLDER as BAD
from tests.settings.good_folder import ENVIRONMENT, FILES

ROOT = Path(__file__).parents[2]
SCHEMA = schema()
KEYS = tuple(keys(SCHEMA))
SCHEMA_CATCHES = ("keys", "values", "missing", "no_paths", "scalar", "list")


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == reference(), (
        "run: python -m probe.settings.reference > docs/configuration.md"
    )


def test_every_key_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert all(f"\n| `{key.path}` |" in page for key in KEYS)
    assert len(KEYS) > 60


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_has_a_description_and_an_example(key: Any) -> None:
    assert key.node["description"].strip()
    holds_keys = any(other.path.startswith((f"{key.path}.", f"{key.path}[")) for other in KEYS)
    assert key.node.get("examples") or holds_keys


def test_no_mapping_takes_unknown_keys() -> None:
    mappings = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(mapping["additionalProperties"] is False for mapping in mappings)


def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_good_files_validate(file: Path) -> None:
    assert list(validator().iter_errors(plain(file))) == []


@pytest.mark.parametrize("name", SCHEMA_CATCHES)
def test_the_schema_sees_what_one_value_can_show(name: str) -> None:
    assert not validator().is_valid(plain(BAD / f"{name}.yaml"))


def test_examples_of_keys_validate() -> None:
    check = validator()
    for key in KEYS:
        for example in key.node.get("examples", ()):
            part: Mapping[str, Any] = {"$defs": SCHEMA["$defs"], **key.node}
            assert check.evolve(schema=part).is_valid(example), key.path


def plain(file: Path) -> object:
    """A file as an editor sees it: variables are not expanded."""
    return parsed(decoded(file.read_bytes()), {name: f"${{{name}}}" for name in ENVIRONMENT}).value
