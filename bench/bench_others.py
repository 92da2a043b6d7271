"""What other tools say of the same faults, on the same real servers in the same run.

    python bench/bench_others.py

Rule 1: each tool is asked as its manual says a mail server is watched, from the same vantage, with the same CA; a tool
        that is not installed is said to be missing.
Rule 2: what stands in the table is what the tool answered (its exit code, its metric), and after how many seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.bench_sessions import BINARIES, LISTEN, NO_LAB, modules  # noqa: E402 - needs the path above
from bench.machine import first_line, machine, markdown  # noqa: E402
from tests.lab import SCENARIOS, Lab, usable  # noqa: E402
from tests.lab.addresses import SERVER_NAME  # noqa: E402
from tests.lab.namespaces import listening_ports  # noqa: E402
from tests.lab.servers import wait_until  # noqa: E402

GENERATION = "debian12"
FAULTS = (
    "local",
    "cluster",
    "gateway-nat",
    "haproxy-plain",
    "drop",
    "reject",
    "unannounced",
    "header-missing",
    "haproxy-forgets",
    "haproxy-unwanted",
    "haproxy-down",
)
SERVICES = ("smtp", "imaps")
PLUGINS = Path("/usr/lib/nagios/plugins")
LONGEST = 15
PROBE = Path(sys.executable).with_name("probe")
WORDS = {0: "ok", 1: "warning", 2: "critical", 3: "unknown"}
"""Exit codes of monitoring plugins."""

Ask = Callable[[Lab, str, str, int], str]
"""A tool's answer of a service at a host and port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A column."""

    name: str
    program: str
    """What has to be installed."""
    ask: Ask

    @property
    def is_here(self) -> bool:
        return shutil.which(self.program) is not None


def plugin(lab: Lab, service: str, host: str, port: int) -> str:
    """check_smtp with STARTTLS, check_simap: the plugins of this protocol."""
    name, *options = ("check_smtp", "--starttls") if service == "smtp" else ("check_simap",)
    return _exit_code(lab, [str(PLUGINS / name), "-H", host, "-p", str(port), "-t", str(LONGEST), *options])


def port_check(lab: Lab, service: str, host: str, port: int) -> str:  # noqa: ARG001 - a port is a port
    return _exit_code(lab, [str(PLUGINS / "check_tcp"), "-H", host, "-p", str(port), "-t", str(LONGEST)])


def swaks(lab: Lab, service: str, host: str, port: int) -> str:
    if service != "smtp":
        return "–"
    command = [
        "swaks",
        "--server",
        host,
        "--port",
        str(port),
        "-tls",
        "--quit-after",
        "EHLO",
        "--timeout",
        str(LONGEST),
    ]
    started = time.monotonic()
    code = lab.run(command, timeout=60).returncode
    return _told("ok" if code == 0 else "failed", started)


def blackbox(lab: Lab, service: str, host: str, port: int) -> str:
    module = "submission" if service == "smtp" else "imaps"
    url = f"http://127.0.0.1:{LISTEN}/probe?module={module}&target={host}:{port}"
    started = time.monotonic()
    asked = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=60).read().decode())"
    page = lab.run([sys.executable, "-c", asked], timeout=60).stdout
    return _told("ok" if "\nprobe_success 1\n" in page else "failed", started)


TOOLS = (
    Tool(name="check_tcp", program=str(PLUGINS / "check_tcp"), ask=port_check),
    Tool(name="check_smtp, check_simap", program=str(PLUGINS / "check_smtp"), ask=plugin),
    Tool(name="swaks", program="swaks", ask=swaks),
    Tool(name="blackbox_exporter", program=BINARIES[0], ask=blackbox),
)


def _exit_code(lab: Lab, command: list[str]) -> str:
    started = time.monotonic()
    return _told(WORDS.get(lab.run(command, timeout=60).returncode, "failed"), started)


def _told(word: str, started: float) -> str:
    return f"{word}, {time.monotonic() - started:.1f} s"


def ours(lab: Lab, config: Path) -> dict[str, str]:
    """mailprobe's answer for each service: verdict, who masks, seconds of the session."""
    command = [str(PROBE), "--once", "--config", str(config), "--format", "json"]
    sessions = json.loads(lab.run(command, timeout=120).stdout)["sessions"]
    return {
        session["service"]: f"**{session['verdict']}**"
        + (f" by {session['masked_by']}" if session["masked_by"] else "")
        + f", {sum(phase['seconds'] for phase in session['phases']):.1f} s"
        for session in sessions
    }


def rows() -> Iterator[tuple[str, ...]]:
    """A row for each fault and service."""
    with Lab(GENERATION) as lab:
        _start_blackbox(lab)
        for name in FAULTS:
            scenario = SCENARIOS[name]
            with lab.in_force(scenario) as case:
                told = ours(lab, case.config_file)
                for service in SERVICES:
                    port = scenario.ports[service]
                    answers = [
                        tool.ask(lab, service, scenario.host, port) if tool.is_here else "not installed"
                        for tool in TOOLS
                    ]
                    yield (f"`{name}`: {scenario.what}", service, *answers, told[service])


def _start_blackbox(lab: Lab) -> None:
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        return
    config = lab.directory / "blackbox.json"
    config.write_text(json.dumps({"modules": modules(lab.ca_file)}))
    command = [binary, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{LISTEN}"]
    lab.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: LISTEN in listening_ports(lab.namespace("vantage")), "blackbox_exporter's port")


def versions() -> str:
    """Which tools these were."""
    asked = {
        "monitoring-plugins": (str(PLUGINS / "check_tcp"), "--version"),
        "swaks": ("swaks", "--version"),
        "blackbox_exporter": (BINARIES[0], "--version"),
    }
    here = {name: command for name, command in asked.items() if shutil.which(command[0])}
    return ", ".join(f"{name}: {first_line(*command).partition(' (branch')[0]}" for name, command in here.items())


def main() -> int:
    if GENERATION not in usable():
        print(f"no lab of {GENERATION} here (python -m tests.lab generations says why); nothing asked", file=sys.stderr)
        return NO_LAB
    heads = ("what is done", "service", *(tool.name for tool in TOOLS), "mailprobe")
    print("# The same faults, asked of other tools\n")
    print(f"TLS to `{SERVER_NAME}` with the lab's CA. {versions()}. {machine()}.\n")
    print(markdown(heads, rows()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
