"""Every bad file has its exact message; nothing secret is ever in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from probe.settings import ConfigurationError, load
from probe.settings.document import MAX_BYTES
from tests.settings.bad_folder import ENVIRONMENT, FOLDER, SECRET, message


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_message_of_a_bad_file(file: Path) -> None:
    assert message(file) == file.with_suffix(".txt").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_message_holds_a_secret(file: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(file, environment=ENVIRONMENT, hostname="host")
    for text in (str(raised.value), repr(raised.value), repr(raised.value.faults)):
        assert "hunter2" not in text
        assert SECRET not in text
    # A traceback must not end with pydantic's own error, which knows the input.
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_every_message_belongs_to_a_file() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == {file.stem for file in FOLDER.glob("*.yaml")}


def test_faults_carry_their_place() -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(FOLDER / "values.yaml", environment=ENVIRONMENT, hostname="host")
    fault = next(fault for fault in raised.value.faults if fault.path == "paths[0].endpoints[1].port")
    assert (fault.found, fault.expected, fault.line) == ("99999", "a TCP port, 1 to 65535", 10)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the file: found No such file or directory, expected a readable file"),
        (b"#" * (MAX_BYTES + 1), "the file: found 1048577 bytes or more, expected at most 1048576 bytes (1 MiB)"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "mailprobe.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        load(file, environment={}, hostname="host")
    assert str(raised.value) == f"{file}: 1 fault\n  {told}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load(tmp_path, environment={}, hostname="host")
