"""Which file is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from probe.settings import ConfigurationError, ConfigurationNotFound, find_config, load


def touch(file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def find(explicit: str | None, cwd: Path, system: Path, **environment: str) -> tuple[Path, list[str]]:
    """The file, and what is told."""
    told: list[str] = []
    return find_config(explicit, environment=environment, cwd=cwd, system=system, notice=told.append), told


def test_the_first_place_that_counts_wins(tmp_path: Path) -> None:
    system = touch(tmp_path / "etc" / "mailprobe.yaml")
    assert find(None, tmp_path, system) == (system, [])
    local = touch(tmp_path / "mailprobe.yaml")
    both = f"the configuration is {local}, and not {system}: --config FILE takes another one"
    assert find(None, tmp_path, system) == (local, [both])
    named = touch(tmp_path / "named.yaml")
    assert find(None, tmp_path, system, MAILPROBE_CONFIG="named.yaml") == (named, [])
    asked = touch(tmp_path / "asked.yaml")
    assert find(str(asked), tmp_path, system, MAILPROBE_CONFIG="named.yaml") == (asked, [])


def test_a_file_that_hides_no_other_is_taken_without_a_word(tmp_path: Path) -> None:
    """As in the image, which works in /etc/mailprobe."""
    local = touch(tmp_path / "mailprobe.yaml")
    assert find(None, tmp_path, tmp_path / "etc" / "mailprobe.yaml") == (local, [])
    assert find(None, tmp_path, local) == (local, [])


def test_all_places_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationNotFound) as raised:
        find(None, tmp_path, tmp_path / "etc" / "mailprobe.yaml")
    assert raised.value.tried == (f"{tmp_path}/mailprobe.yaml", f"{tmp_path}/etc/mailprobe.yaml")
    assert str(raised.value) == (
        f"no configuration: 1 fault\n  the file: found no file at {tmp_path}/mailprobe.yaml, "
        f"{tmp_path}/etc/mailprobe.yaml, expected one of them, or a file named by --config or $MAILPROBE_CONFIG"
    )


def test_a_file_that_is_not_for_us_to_see_is_taken_and_says_why_it_cannot_be_read(tmp_path: Path) -> None:
    """As one in a directory that is not ours, which root, who runs these tests, may enter."""
    hidden = "x" * 300
    chosen, _ = find(hidden, tmp_path, tmp_path / hidden)
    assert (chosen, find(None, tmp_path, chosen)) == (tmp_path / hidden, (chosen, []))
    with pytest.raises(ConfigurationError, match="found File name too long, expected a readable file"):
        load(chosen, environment={}, hostname="host")


@pytest.mark.parametrize(("explicit", "by"), [("absent.yaml", "--config"), (None, "$MAILPROBE_CONFIG")])
def test_a_named_file_is_not_replaced_by_another(tmp_path: Path, explicit: str | None, by: str) -> None:
    touch(tmp_path / "mailprobe.yaml")
    with pytest.raises(ConfigurationNotFound) as raised:
        find(explicit, tmp_path, tmp_path / "etc" / "mailprobe.yaml", MAILPROBE_CONFIG="absent.yaml")
    assert str(raised.value).endswith(f"found no file at {tmp_path}/absent.yaml, expected the file that {by} names")
