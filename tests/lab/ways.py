"""Ways by which the servers' real lines reach the probe: what ships them there, and the source that takes them.

Rule 1: a way begins with the log files that the servers write; what ships them is the real thing where there is one.
Rule 2: whoever ships is a child of the lab and ends with the block.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.evidence.sources.relays import Rsyslog, forwarding
from tests.lab.lab import Case, Lab

REPOSITORY = Path(__file__).parents[2]
PROBE = Path(sys.executable).with_name("probe")
SYSLOG_PORT = 5514
LOKI_PORT = 3100
LOKI_URL = f"http://127.0.0.1:{LOKI_PORT}"

Settings = dict[str, Any]


def nothing() -> None:
    """Nothing serves on this way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """The sources to configure, and the log files that the command reads on standard input."""

    sources: tuple[Settings, ...]
    piped: tuple[Path, ...] = ()
    dropping: str = ""
    """What stands in lines that are lost on the way to standard input."""
    evidence: str = ""
    """`timeouts.evidence`, where lines by this way take longer than from a file."""
    kill: Callable[[], None] = nothing
    start: Callable[[], None] = nothing
    """End what serves on this way without a word, and let it be there again."""

    def config(self, case: Case) -> Path:
        """The scenario's configuration with these sources."""
        content = json.loads(case.config_file.read_text())
        content["evidence"]["sources"] = list(self.sources)
        if self.evidence:
            content["timeouts"]["evidence"] = self.evidence
        path = case.config_file.with_name("way.yaml")
        path.write_text(json.dumps(content))
        return path

    def run(self, lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the probe inside; where it reads standard input, as it is installed, behind what is piped into it."""
        if not self.piped:
            return lab.probe(*arguments, timeout=120)
        return lab.run(self.command([str(PROBE), *arguments]), timeout=120)

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
def _syslog(lab: Lab, transport: str = "udp") -> Iterator[Way]:
    here = Path(tempfile.mkdtemp(prefix="rsyslog-", dir=lab.directory))
    relay = Rsyslog(here, list(_logs(lab)), forwarding(SYSLOG_PORT, transport, queued=False), prefix=lab.inside([]))
    try:
        source = {"kind": "syslog", "listen": f"{transport}://127.0.0.1:{SYSLOG_PORT}"}
        yield Way(sources=(source,), kill=relay.kill, start=relay.start)
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


def _loki(lab: Lab, *options: str) -> contextlib.AbstractContextManager[Way]:
    """A Loki in the vantage's network, and a shipper that feeds it."""
    source = {"kind": "loki", "url": LOKI_URL, "query": '{namespace="mailserver"}'}
    loki = [sys.executable, "-m", "tests.evidence.sources.scripted_loki", str(LOKI_PORT), *options]
    shipper = [sys.executable, "-m", "tests.lab.loki_shipper", LOKI_URL, *map(str, _logs(lab))]
    return _served(lab, lambda _: Way(sources=(source,), evidence="10s"), loki, shipper)


def _kubernetes(lab: Lab, breaking: str = "0") -> contextlib.AbstractContextManager[Way]:
    """A Kubernetes API in the vantage's network, with the servers' logs as a pod's; its streams may break often."""
    here = tempfile.mkdtemp(prefix="kubernetes-", dir=lab.directory)
    source = {"kind": "kubernetes", "namespace": "mailserver", "selector": "app=mailserver"}
    # Where streams keep breaking, up to five seconds lie between two.
    evidence = "15s" if float(breaking) else ""
    api = [sys.executable, "-m", "tests.kubernetes", here, breaking, *map(str, _logs(lab))]
    return _served(lab, lambda said: Way(sources=({**source, "kubeconfig": said},), evidence=evidence), api)


@contextlib.contextmanager
def _served(lab: Lab, way: Callable[[str], Way], *commands: Sequence[str]) -> Iterator[Way]:
    """What these commands serve, each once it has said that it is there."""
    with contextlib.ExitStack() as running:
        processes = [lab.popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) for command in commands]
        first, said = processes[0], ""
        for process in processes:
            running.callback(process.wait)
            running.callback(process.terminate)
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            said = said or line
        yield replace(way(said), kill=lambda: _tell(first, signal.SIGUSR1), start=lambda: _tell(first, signal.SIGUSR2))


def _tell(process: subprocess.Popen[str], word: signal.Signals) -> None:
    """Send a signal to what serves, and wait until it has done what that means."""
    process.send_signal(word)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word.name


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
    "syslog-tcp": lambda lab: _syslog(lab, "tcp"),
    "journald": _journald,
    "loki": _loki,
    "loki-by-query": lambda lab: _loki(lab, "--no-tail"),
    "kubernetes": _kubernetes,
    "kubernetes-breaking-off": lambda lab: _kubernetes(lab, "0.3"),
    "together": _together,
}
