"""Ways by which the servers' real lines reach the probe: what ships them there, and the source that takes them.

Rule 1: a way begins with the log files that the servers write; what ships them is the real thing where there is one.
Rule 2: whoever ships is a child of the lab and ends with the block.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.evidence.sources.relays import Rsyslog, forwarding
from tests.lab.lab import Case, Lab

REPOSITORY = Path(__file__).parents[2]
SYSLOG_PORT = 5514

Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """The sources to configure, and the log files that the command reads on standard input."""

    sources: tuple[Settings, ...]
    piped: tuple[Path, ...] = ()
    dropping: str = ""
    """What stands in lines that are lost on the way to standard input."""

    def config(self, case: Case) -> Path:
        """The scenario's configuration with these sources."""
        content = json.loads(case.config_file.read_text())
        content["evidence"]["sources"] = list(self.sources)
        path = case.config_file.with_name("way.yaml")
        path.write_text(json.dumps(content))
        return path

    def command(self, probe: Sequence[str]) -> list[str]:
        """The probe's command line, with its standard input."""
        if not self.piped:
            return list(probe)
        files = " ".join(str(path) for path in self.piped)
        shipped = "tail --quiet --follow=name --lines=0 $files"
        if self.dropping:
            shipped += ' | grep --line-buffered --invert-match "$dropping"'
        pipe = f'files=$1 dropping=$2; shift 2; exec "$@" < <(exec 2>/dev/null; {shipped})'
        return ["bash", "-c", pipe, "bash", files, self.dropping, *probe]


def _logs(lab: Lab) -> tuple[Path, ...]:
    return lab.postfix_log, lab.dovecot_log


@contextlib.contextmanager
def _file(lab: Lab) -> Iterator[Way]:
    yield Way(sources=tuple({"kind": "file", "path": str(path)} for path in _logs(lab)))


@contextlib.contextmanager
def _stdin(lab: Lab) -> Iterator[Way]:
    yield Way(sources=({"kind": "file", "path": "-"},), piped=_logs(lab))


@contextlib.contextmanager
def _syslog(lab: Lab) -> Iterator[Way]:
    here = Path(tempfile.mkdtemp(prefix="rsyslog-", dir=lab.directory))
    relay = Rsyslog(here, list(_logs(lab)), forwarding(SYSLOG_PORT, "udp"), prefix=lab.inside([]))
    try:
        yield Way(sources=({"kind": "syslog", "listen": f"udp://127.0.0.1:{SYSLOG_PORT}"},))
    finally:
        relay.close()


@contextlib.contextmanager
def _journald(lab: Lab) -> Iterator[Way]:
    journal = Path(tempfile.mkdtemp(prefix="journal-", dir=lab.directory))
    command = [sys.executable, "-m", "tests.lab.journal_shipper", str(journal / "remote.journal")]
    shipper = lab.popen([*command, *map(str, _logs(lab))], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert shipper.stdout is not None
    shipper.stdout.readline()
    try:
        yield Way(sources=({"kind": "journald", "directory": str(journal)},))
    finally:
        shipper.terminate()
        shipper.wait()


@contextlib.contextmanager
def _together(lab: Lab) -> Iterator[Way]:
    """Every line three times over."""
    with _file(lab) as file, _syslog(lab) as syslog, _journald(lab) as journald:
        yield Way(sources=(*file.sources, *syslog.sources, *journald.sources))


def lossy(lab: Lab, dropping: str) -> Way:
    """Standard input by way of a shipper that drops some lines."""
    return Way(sources=({"kind": "file", "path": "-"},), piped=_logs(lab), dropping=dropping)


WAYS: dict[str, Callable[[Lab], contextlib.AbstractContextManager[Way]]] = {
    "file": _file,
    "stdin": _stdin,
    "syslog": _syslog,
    "journald": _journald,
    "together": _together,
}
