"""Whatever is written: Settings or ConfigurationError, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.settings import ConfigurationError, Settings, load, schema
from probe.settings.reference import keys
from tests.settings.good_folder import ENVIRONMENT, EXAMPLE, FOLDER

NAMES = sorted({key.path.rpartition(".")[2] for key in keys(schema())})
WORDS = ["smtp", "imaps", "file", "loki", "10.0.20.1", "10.0.0.0/8", "30s", "10%", "${NAME}", "${", "off", ""]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(WORDS)
    | st.dates()
    | st.binary(max_size=5)
)
known_or_not = st.sampled_from(NAMES) | st.text(max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known_or_not, inner, max_size=6),
    max_leaves=25,
)
MARKS = [b"\n", b": ", b"- ", b"*both", b"&a ", b"!!x ", b"${", b"{", b"\t"]
BYTES = tuple(file.read_bytes() for file in (EXAMPLE, FOLDER / "contract.yaml", FOLDER / "variables.yaml"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "mailprobe.yaml"


def outcome(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        loaded: Settings | ConfigurationError = load(file, environment=ENVIRONMENT, hostname="host")
    except ConfigurationError as error:
        loaded = error
    if isinstance(loaded, ConfigurationError):
        assert loaded.faults
        assert str(loaded).count("\n") == len(loaded.faults)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_any_structure(file: Path, value: Any) -> None:
    outcome(file, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace"))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(part=st.sampled_from(sorted(schema()["properties"])), value=values)
def test_any_structure_below_a_known_key(file: Path, part: str, value: Any) -> None:
    whole = {"paths": [{"name": "vip", "host": "mail", "endpoints": [{"service": "smtp"}]}], part: value}
    outcome(file, yaml.safe_dump(whole).encode("utf-8", "replace"))


@settings(deadline=None, max_examples=150)
@given(content=st.binary(max_size=400))
def test_any_bytes(file: Path, content: bytes) -> None:
    outcome(file, content)


@settings(deadline=None, max_examples=250)
@given(
    original=st.sampled_from(BYTES),
    at=st.floats(0, 1, exclude_max=True),
    drop=st.integers(0, 40),
    insert=st.binary(max_size=3) | st.sampled_from(MARKS),
)
def test_mutated_files(file: Path, original: bytes, at: float, drop: int, insert: bytes) -> None:
    place = int(at * len(original))
    outcome(file, original[:place] + insert + original[place + drop :])
