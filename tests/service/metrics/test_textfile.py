"""--textfile: whole or as it was before, readable by node_exporter, and read by it."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from probe.model import Round, Verdict
from probe.service.metrics import exposition, round_registry
from probe.service.metrics.textfile import NotWritten, write_textfile
from tests.builders import result
from tests.service.metrics.programs import get_text, running
from tests.service.metrics.stand_in import lint


def text(verdict: Verdict = Verdict.PRESERVED) -> bytes:
    done = Round(vantage="lan-probe", started=100.0, seconds=1.0, results=(result(verdict),))
    return exposition(round_registry(done), None)[0]


def test_it_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "mailprobe.prom"
    write_textfile(file, b"old\n")
    before = file.stat().st_ino
    with file.open("rb") as reading:
        write_textfile(file, b"new\n")
        assert reading.read() == b"old\n"  # who reads meanwhile reads one whole file
    assert (file.read_bytes(), file.stat().st_ino == before) == (b"new\n", False)
    assert os.listdir(tmp_path) == ["mailprobe.prom"]


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    file = tmp_path / "mailprobe.prom"
    before = os.umask(umask)
    try:
        write_textfile(file, b"new\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_relative_name_is_one_of_this_directory(tmp_path: Path) -> None:
    code = "import pathlib; from probe.service.metrics.textfile import *; write_textfile(pathlib.Path('x.prom'), b'')"
    repository = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert os.listdir(tmp_path) == ["x.prom"]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "mailprobe.prom"
    with pytest.raises(NotWritten) as said:
        write_textfile(file, b"new\n")
    assert str(said.value) == f"--textfile: {file} was not written (No such file or directory): make the directory"


def test_a_directory_of_that_name_is_said_and_stays(tmp_path: Path) -> None:
    (file := tmp_path / "mailprobe.prom").mkdir()
    with pytest.raises(NotWritten, match=r"\(Is a directory\): name a file in it"):
        write_textfile(file, b"new\n")
    assert os.listdir(tmp_path) == ["mailprobe.prom"]


def test_a_file_that_cannot_be_written_whole_leaves_the_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "mailprobe.prom"
    file.write_bytes(b"old\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(NotWritten) as said:
            write_textfile(file, b"#" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = "the file of an earlier run is as it was: see to the file system there"
    assert str(said.value) == f"--textfile: {file} was not written (File too large); {kept}"
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"old\n", ["mailprobe.prom"])


async def test_node_exporter_shows_it(tmp_path: Path) -> None:
    write_textfile(tmp_path / "mailprobe.prom", text(Verdict.MASKED))
    arguments = (
        "--web.listen-address=127.0.0.1:{port}",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={tmp_path}",
    )
    async with running("prometheus-node-exporter", "prometheus-node-exporter", *arguments, ready="/") as url:
        page = await get_text(f"{url}/metrics")
    labels = 'path="vip",service="smtp",vantage="lan-probe"'
    assert f'mailprobe_verdict{{{labels},verdict="masked"}} 1' in page
    assert f"mailprobe_client_address_preserved{{{labels}}} 0" in page
    assert "node_textfile_scrape_error 0" in page
    assert f'node_textfile_mtime_seconds{{file="{tmp_path}/mailprobe.prom"}}' in page


def test_promtool_has_nothing_to_say() -> None:
    assert lint(text()) == ""
