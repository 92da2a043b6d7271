"""One lab: a small world with real servers, from start to the last trace removed.

    with Lab(generation="debian12") as lab:
        case = lab.apply(SCENARIOS["cluster"])
        lab.run(["probe", "--once", "--config", str(case.config_file)], namespace="vantage")

Rule 1: a lab is built once and goes through many scenarios; servers never restart, only the way to them changes.
Rule 2: leaving the `with` block by any door removes everything; what a killed owner leaves, the next lab removes.
Rule 3: nothing is waited for by sleeping a fixed time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from tests.lab import certificates, configuration, generations, haproxy, namespaces, world
from tests.lab.addresses import BACKGROUND, GREYLIST_POLICY, LAN_CLIENT, METRICS, POD, THROTTLED, VIP
from tests.lab.certificates import Certificates
from tests.lab.health_check import HealthChecks
from tests.lab.lookalikes import trusting_context
from tests.lab.scenario import Expectation, Preparation, Scenario
from tests.lab.scenarios import TLS_FIRST
from tests.lab.servers import Choices, Servers, wait_until
from tests.lab.world import NetworkState
from tests.loaded import REPOSITORY, Loaded

HERE = Path(__file__).parent
BIND_NAMES = 'for f in hosts resolv.conf; do mount --bind "$0/$f" "/etc/$f"; done; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario in force in a running lab."""

    scenario: Scenario
    config_file: Path
    expected: Mapping[str, Expectation]


@dataclass(slots=True, kw_only=True)
class Crowd:
    """Background clients; `counts` is known when they have stopped: sessions by service and outcome."""

    counts: dict[str, int] = field(default_factory=dict)


class Lab:
    """The world of one owner; not shared between processes."""

    def __init__(self, generation: str | None = None, choices: Choices | None = None) -> None:
        self.generation = _usable(generation or generations.host_name())
        self._choices = choices or Choices()
        self._exits = contextlib.ExitStack()
        self._children: list[subprocess.Popen[bytes] | subprocess.Popen[str]] = []
        self._loaded: dict[str, Loaded] = {}
        self._throttled = False
        self.name = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(_terminate_as_exit())
            namespaces.reap()
            self.name = namespaces.new_name()
            exits.callback(self._bury)
            exits.callback(namespaces.remove, self.name)
            self._health_checks = HealthChecks(self.name)
            exits.callback(self._health_checks.close)
            self._build()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _build(self) -> None:
        namespaces.create(self.name)
        world.wire(self.name)
        self.apply_network(NetworkState())
        self._certificates = certificates.make(self.directory / "tls")
        self._servers = Servers(
            name=self.name, generation=self.generation, certificates=self._certificates, choices=self._choices
        )
        self._children.append(self._servers.start())
        self._start_greylist()
        for address in (POD.v4, POD.v6):
            wait_until(functools.partial(self._reaches, address, METRICS), f"the way to {address}")

    # What there is.

    @property
    def directory(self) -> Path:
        return namespaces.BASE / self.name

    @property
    def postfix_log(self) -> Path:
        return self._servers.postfix_log

    @property
    def dovecot_log(self) -> Path:
        return self._servers.dovecot_log

    @property
    def certificates(self) -> Certificates:
        return self._certificates

    @property
    def ca_file(self) -> Path:
        return self._certificates.ca

    @property
    def servers(self) -> Servers:
        return self._servers

    def namespace(self, role: str) -> str:
        return f"{self.name}-{role}"

    # What one can do.

    def apply(self, scenario: Scenario) -> Case:
        """Bring the lab into the scenario's state and write the probe's configuration for it."""
        self.apply_network(scenario.network)
        match scenario.prepare:
            case Preparation.SPEND_RATE_LIMIT:
                self._spend_rate_limit(scenario)
            case Preparation.THROTTLE:
                self._throttle()
            case Preparation.FILL_MAILBOX:
                self.put_into_mailbox("kept", b"Subject: somebody else's\r\n\r\n" + b"Do not delete.\r\n" * 2000)
        return self.case(scenario)

    @contextlib.contextmanager
    def in_force(self, scenario: Scenario) -> Iterator[Case]:
        """The scenario with the background that belongs to it, for the length of the block."""
        case = self.apply(scenario)
        with contextlib.ExitStack() as background:
            if scenario.background:
                background.enter_context(self.lookalikes(scenario.background, host=scenario.host))
            yield case

    def case(self, scenario: Scenario) -> Case:
        """The scenario's configuration and expectations, without a change of the network."""
        files = configuration.LabFiles(
            directory=self.directory,
            postfix_log=self.postfix_log,
            dovecot_log=self.dovecot_log,
            certificates=self.certificates,
        )
        return Case(
            scenario=scenario,
            config_file=configuration.write(scenario, files),
            expected=scenario.expected_of(self.generation.name),
        )

    def apply_network(self, state: NetworkState) -> None:
        """Switch the network alone."""
        world.apply(self.name, state)
        self._health_checks.follow(state)

    def run(
        self, command: Sequence[str], *, namespace: str = "vantage", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it; it sees the lab's own hosts file and no other names."""
        return subprocess.run(
            self.inside(command, namespace=namespace),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def probe(
        self, *arguments: str, namespace: str = "vantage", cwd: Path = REPOSITORY, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the command `probe` inside as `run` does, but for its start: see tests/loaded.py."""
        if namespace not in self._loaded:
            self._loaded[namespace] = Loaded(self.inside([], namespace=namespace))
            self._exits.callback(self._loaded[namespace].close)
        return self._loaded[namespace].run(*arguments, cwd=cwd, timeout=timeout)

    def popen(self, command: Sequence[str], *, namespace: str = "vantage", **more: Any) -> subprocess.Popen[str]:
        """Start a command inside; whatever is still running when the lab ends is ended with it."""
        child = subprocess.Popen(self.inside(command, namespace=namespace), text=True, **more)
        self._children.append(child)
        return child

    def inside(self, command: Sequence[str], *, namespace: str = "vantage") -> list[str]:
        """The command line that runs a command in one of the lab's namespaces."""
        names = str(self.directory / "etc")
        return ["ip", "netns", "exec", self.namespace(namespace), "sh", "-c", BIND_NAMES, names, *command]

    def socket(self, *, namespace: str = "vantage", ipv6: bool = False) -> socket.socket:
        """A TCP socket that lives in the namespace, for the use of this process."""
        return namespaces.socket_in(self.namespace(namespace), socket.AF_INET6 if ipv6 else socket.AF_INET)

    @contextlib.contextmanager
    def lookalikes(
        self,
        rate: float = 20,
        *,
        host: str = VIP.v4,
        mix: Mapping[str, float] | None = None,
        namespace: str = "vantage",
    ) -> Iterator[Crowd]:
        """Background clients for the length of the block; afterwards the crowd knows how its sessions went."""
        clients = [LAN_CLIENT] if namespace == "lan" else list(BACKGROUND)
        sources = ",".join(client.v6 if ":" in host else client.v4 for client in clients)
        weights = ",".join(f"{service}={weight}" for service, weight in (mix or {}).items())
        options = ["--host", host, "--sources", sources, "--rate", str(rate), "--mix", weights]
        command = [sys.executable, str(HERE / "lookalikes.py"), *options]
        process = self.popen(command, namespace=namespace, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        crowd = Crowd()
        try:
            yield crowd
        finally:
            process.terminate()
            crowd.counts = json.loads(process.communicate(timeout=30)[0])

    def put_into_mailbox(self, name: str, message: bytes) -> Path:
        """Put a message into the probe's own mailbox, past all servers; where it lies."""
        file = self.directory / "mail/probe/new" / name
        file.write_bytes(message)
        # Dovecot's count of octets, to be counted anew.
        (self.directory / "mail/probe/maildirsize").unlink(missing_ok=True)
        os.chown(file, *self.generation.ids("mail"))
        return file

    def mailbox(self) -> list[str]:
        """The messages in the probe's own mailbox, by the names they were put there with."""
        found = (path for part in ("new", "cur") for path in (self.directory / "mail/probe" / part).glob("*"))
        return sorted(path.name.partition(":")[0] for path in found)

    # How faults are made.

    def _start_greylist(self) -> None:
        command = [sys.executable, str(HERE / "greylist.py"), str(GREYLIST_POLICY), str(self._choices.greylist_seconds)]
        self.popen(command, namespace="pod")
        pod = self.namespace("pod")
        wait_until(lambda: GREYLIST_POLICY in namespaces.listening_ports(pod), "the greylisting policy service")

    def _reaches(self, address: str, port: int) -> bool:
        with self.socket(ipv6=":" in address) as probe:
            probe.settimeout(1)
            return probe.connect_ex((address, port)) == 0

    def _spend_rate_limit(self, scenario: Scenario) -> None:
        """Use up the one connection that each of the limited listeners grants to the vantage's address."""
        for service, port in scenario.ports.items():
            with self.socket() as plain:
                plain.settimeout(5)
                plain.connect((scenario.host, port))
                one = trusting_context().wrap_socket(plain) if service in TLS_FIRST else plain
                one.recv(4096)  # the greeting, or the refusal: counted in any case
                one.close()

    def _throttle(self) -> None:
        """Let health checks hang up on the throttled listeners until Postfix gives up on each, for an hour."""
        if self._throttled:
            return
        checker = self._servers.on_router(haproxy.health_checker(), "checker")
        try:
            wait_until(lambda: self._services_given_up() >= len(THROTTLED), "Postfix throttling its services", 60)
        finally:
            checker.terminate()
            checker.wait()
        self._end_throttled_servers()
        self._throttled = True

    def _end_throttled_servers(self) -> None:
        """An smtpd that was idle as its service was throttled would still serve one client."""
        ports = {str(port).encode() for port in THROTTLED.values()}
        for pid in namespaces.pids_in(self.namespace("pod")):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"smtpd") and ports & set(words):
                    os.kill(pid, signal.SIGTERM)

    def _services_given_up(self) -> int:
        return self.postfix_log.read_text(errors="replace").count("bad command startup -- throttling")

    def _bury(self) -> None:
        """Take note of the end of our children, which went with their namespaces."""
        for child in self._children:
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()


def _usable(name: str) -> generations.Generation:
    match generations.find_all().get(name):
        case generations.Generation() as found:
            return found
        case generations.Unusable(reason=reason):
            raise RuntimeError(f"generation {name} cannot be used: {reason}")
        case _:
            raise RuntimeError(f"no generation {name}; known here: {', '.join(generations.find_all())}")


@contextlib.contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """SIGTERM leaves by the same door as an exception, where Python would end without any clean-up."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
