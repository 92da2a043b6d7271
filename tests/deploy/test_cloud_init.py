"""The user data by cloud-init's own schema, and what is in it by what it is for. test_systemd_unit.py lets it work."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from probe.settings import load
from tests.deploy.wheelhouse import REPOSITORY
from tests.lab.generations import cache

USER_DATA = REPOSITORY / "deploy/cloud-init/user-data.yaml"
SCHEMA = (
    cache().parent / "cloud-init/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
)


def faults(told: dict[str, Any]) -> Iterator[str]:
    """What the schema of Debian's cloud-init says, and keys that no part of it knows, which it passes over."""
    if not SCHEMA.exists():
        pytest.skip(f"no schema of cloud-init in {SCHEMA}: run tests/lab/install.sh as root")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())
    known = {key for part in schema["$defs"].values() for key in part.get("properties", {})}
    yield from (f"unknown: {key}" for key in told if key not in known)
    yield from (fault.message for fault in jsonschema.Draft4Validator(schema).iter_errors(told))


def test_cloud_init_understands_it() -> None:
    text = USER_DATA.read_text()
    assert text.startswith("#cloud-config\n")
    told = yaml.safe_load(text)
    assert list(faults(told)) == []
    assert list(faults({**told, "run_cmd": []})) == ["unknown: run_cmd"]
    assert len(list(faults({**told, "write_files": [{"content": "no path"}]}))) == 1


def test_with_everything_uncommented_too(tmp_path: Path) -> None:
    """The lines that begin with # and no space are alternatives, as in mailprobe.example.yaml."""
    lines = USER_DATA.read_text().splitlines()
    told = yaml.safe_load("\n".join(re.sub(r"^( *)#(?![ !]|$)", r"\1", line) for line in lines[1:]))
    assert list(faults(told)) == []
    files = {file["path"]: file["content"] for file in told["write_files"]}
    assert "LoadCredential=loki:" in files["/etc/systemd/system/mailprobe.service.d/secrets.conf"]
    (tmp_path / "loki").write_text("token")
    (tmp_path / "loki").chmod(0o400)
    configuration = tmp_path / "mailprobe.yaml"
    configuration.write_text(files["/etc/mailprobe/mailprobe.yaml"])
    settings = load(configuration, environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}, hostname="outside")
    assert settings.warnings == ()
    assert [str(one) for one in settings.vantage.addresses or ()] != []


def test_its_script_is_sound_shell() -> None:
    files = {file["path"]: file["content"] for file in yaml.safe_load(USER_DATA.read_text())["write_files"]}
    script = files["/usr/local/sbin/mailprobe-install"]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True, env={"PATH": os.environ["PATH"]})
