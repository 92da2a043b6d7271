"""From the configuration to sources: all keys arrive, and what no source of the file needs is not imported."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from probe.evidence.sources.loki import LokiSource
from probe.evidence.sources.loki_client import Access
from probe.evidence.sources.loki_http import Tls
from probe.model import Secret
from probe.service.sources import OPENERS, sources
from probe.settings import load

PATHS = "paths: [{name: vip, host: 10.0.20.202, endpoints: [{service: smtp}]}]\n"
LOKI = """
evidence:
  sources:
    - kind: loki
      url: https://loki.example.org/prefix
      query: '{app="mail"}'
      tenant: mail
      username: probe
      password: "${SECRET}"
      tls: {server_name: loki.lab.test}
    - {kind: loki, url: "http://loki:3100", query: '{app="mail"}', bearer_token_file: token}
"""
FILE = "evidence: {sources: [{kind: file, path: /var/log/mail.log}]}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "mailprobe.yaml"
    file.write_text(PATHS + text)
    return file


def test_every_kind_is_built() -> None:
    assert set(OPENERS) == {"file", "loki", "kubernetes", "journald", "syslog"}


def test_every_key_of_a_loki_source_arrives(tmp_path: Path) -> None:
    settings = load(written(tmp_path, LOKI), environment={"SECRET": "s3cret"}, hostname="host")
    opened = sources(settings, time.time)
    assert all(isinstance(source, LokiSource) for source in opened)
    assert [source.access for source in opened if isinstance(source, LokiSource)] == [
        Access(
            url="https://loki.example.org/prefix",
            query='{app="mail"}',
            tenant="mail",
            username="probe",
            password=Secret("s3cret"),
            tls=Tls(server_name="loki.lab.test"),
        ),
        Access(url="http://loki:3100", query='{app="mail"}', bearer_token_file=Path("token")),
    ]
    assert [source.name for source in opened] == [
        'loki:mail@loki.example.org/prefix {app="mail"}',
        'loki:loki:3100 {app="mail"}',
    ]
    assert [warning.path for warning in settings.warnings] == ["evidence.sources[1].bearer_token_file"]


@pytest.mark.parametrize(("text", "imported"), [(FILE, "False"), (LOKI, "True")])
def test_aiohttp_is_imported_for_loki_alone(tmp_path: Path, text: str, imported: str) -> None:
    program = (
        "import sys, time; from pathlib import Path; import probe.service.once; from probe.settings import load;"
        "from probe.service.sources import sources;"
        f"file = Path({str(written(tmp_path, text))!r});"
        "sources(load(file, environment={'SECRET': 'x'}, hostname='host'), time.time);"
        "print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == imported
