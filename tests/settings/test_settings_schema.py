"""Editors and the reference say the same as the models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core import PydanticCustomError

from probe.settings import schema
from probe.settings.document import decoded, parsed
from probe.settings.reference import keys, reference
from probe.settings.values import Cidr, Host, IpAddress, SyslogListen, TcpListen
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


SOUND = [
    (TcpListen, [":9797", "tcp://[::]:1", "0.0.0.0:0", "a_b-c.d:65535", ":00080"]),
    (SyslogListen, ["udp://:5514", "tcp://[::1]:0514", "udp://127.0.0.1:5514"]),
    (Host, ["10.0.20.202", "mail", "Mail.Example.org.", "müller.example", "4ever.example", "::1", "::ffff:10.0.0.1"]),
    (Host, ["fe80::1%eth0", "2001:db8::202", "10.0.20.202.example"]),
    (IpAddress, ["10.0.20.1", "2001:DB8::", "::", "::ffff:10.0.0.1"]),
    (Cidr, ["10.0.20.1", "10.0.20.0/24", "2001:db8::/32", "::1", "10.0.20.0/255.255.255.0"]),
]
ODD = [
    (TcpListen, ["9797", ":65536", ":99999", "http://mail:80", "a b:1", "udp://:1", "[::]9797", ":0x10", "::1:80"]),
    (SyslogListen, [":5514", "unix://log:1", "udp://:65536", "udp://a/b:1"]),
    (Host, ["10.0.20", "256.1.1.1", "mail:25", "[::1]", "http://mail", "a b", "mail.5"]),
    (IpAddress, ["10.0.20", "10.0.20.1/32", "mail", "[::1]"]),
    (Cidr, ["10.0.20/24", "mail/24", "10.0.20.0/24/24"]),
]


@pytest.mark.parametrize(("kind", "texts"), SOUND)
def test_what_is_read_an_editor_takes(kind: Any, texts: list[str]) -> None:
    form = get_args(kind)[1]
    for text in texts:
        form.read(text)
        assert validator().evolve(schema=form.schema).is_valid(text), text


@pytest.mark.parametrize(("kind", "texts"), ODD)
def test_what_cannot_be_read_an_editor_marks(kind: Any, texts: list[str]) -> None:
    form = get_args(kind)[1]
    for text in texts:
        with pytest.raises(PydanticCustomError):
            form.read(text)
        assert not validator().evolve(schema=form.schema).is_valid(text), text


def plain(file: Path) -> object:
    """A file as an editor sees it: variables are not expanded."""
    return parsed(decoded(file.read_bytes()), {name: f"${{{name}}}" for name in ENVIRONMENT}).value
