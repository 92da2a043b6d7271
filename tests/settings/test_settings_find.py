"""Which file is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from probe.settings import ConfigurationNotFound, find_config


def touch(file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def test_the_first_place_that_counts_wins(tmp_path: Path) -> None:
    system = touch(tmp_path / "etc" / "mailprobe.yaml")
    assert find_config(None, environment={}, cwd=tmp_path, system=system) == system
    local = touch(tmp_path / "mailprobe.yaml")
    assert find_config(None, environment={}, cwd=tmp_path, system=system) == local
    named = touch(tmp_path / "named.yaml")
    environment = {"MAILPROBE_CONFIG": "named.yaml"}
    assert find_config(None, environment=environment, cwd=tmp_path, system=system) == named
    asked = touch(tmp_path / "asked.yaml")
    assert find_config(str(asked), environment=environment, cwd=tmp_path, system=system) == asked


def test_all_places_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationNotFound) as raised:
        find_config(None, environment={}, cwd=tmp_path, system=tmp_path / "etc" / "mailprobe.yaml")
    assert raised.value.tried == (f"{tmp_path}/mailprobe.yaml", f"{tmp_path}/etc/mailprobe.yaml")
    assert str(raised.value) == (
        f"no configuration: 1 fault\n  the file: found no file at {tmp_path}/mailprobe.yaml, "
        f"{tmp_path}/etc/mailprobe.yaml, expected one of them, or a file named by --config or $MAILPROBE_CONFIG"
    )


@pytest.mark.parametrize(("explicit", "by"), [("absent.yaml", "--config"), (None, "$MAILPROBE_CONFIG")])
def test_a_named_file_is_not_replaced_by_another(tmp_path: Path, explicit: str | None, by: str) -> None:
    touch(tmp_path / "mailprobe.yaml")
    with pytest.raises(ConfigurationNotFound) as raised:
        find_config(explicit, environment={"MAILPROBE_CONFIG": "absent.yaml"}, cwd=tmp_path)
    assert str(raised.value).endswith(f"found no file at {tmp_path}/absent.yaml, expected the file that {by} names")
