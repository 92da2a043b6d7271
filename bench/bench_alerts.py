"""From a fault to whoever is paged: every alert, on real servers, through Debian's Prometheus and Alertmanager.

    python bench/bench_alerts.py network        faults of the whole network, one after the other
    python bench/bench_alerts.py listeners      all others, side by side
    python bench/bench_alerts.py beside         a drop beside masking, once silenced and once paging

Rule 1: rules, routes and inhibitions are the files of deploy/prometheus, with all their times; schedule and timeouts of
        the daemons are the defaults. Only what an alert is kept for once its fault is over (`keep_firing_for`) is KEPT
        at most, and the rest of it is added to what was measured, as `+ 840`.
Rule 2: a fault counts from when it is in force, a notification from when the webhook has it. Faults are put on at
        random moments of the interval.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.alert_faults import (  # noqa: E402 - needs the path above
    LAN_LISTEN,
    NAMED,
    SOURCES,
    Copied,
    Fault,
    Router,
    main_paths,
    network,
    of_listeners,
    of_network,
    process,
    settings,
    smtp,
)
from bench.machine import machine, markdown  # noqa: E402
from tests.deploy.promtool import rule  # noqa: E402
from tests.lab import SCENARIOS, Lab, usable  # noqa: E402
from tests.lab.addresses import PASSWORD, SERVICES, VIP  # noqa: E402
from tests.lab.daemon import PROBE, Watched  # noqa: E402
from tests.lab.pager import ALERTMANAGER, Pager, kept, paged  # noqa: E402
from tests.lab.servers import wait_until  # noqa: E402
from tests.lab.world import enter  # noqa: E402

GENERATION = "debian12"
LOOK = 0.2
PATIENCE = 75 * 60.0
"""Seconds. A certificate pages after half an hour, and is taken back twenty minutes after its end."""
FORGETS = 95.0
"""Seconds until Alertmanager has let go of a group without alerts: until then what comes is an update of an old page,
and waits for group_interval."""

KEPT = 60

NO_LAB = 3


@dataclass(kw_only=True)
class Daemon:
    """One vantage of the lab."""

    lab: Lab
    content: dict[str, Any]
    namespace: str = "vantage"
    child: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        return str(self.content["vantage"]["name"])

    @property
    def file(self) -> Path:
        return self.lab.directory / "probe" / self.name / "mailprobe.yaml"

    @property
    def target(self) -> str:
        return str(self.content["web"]["listen"])

    def start(self) -> None:
        self.file.write_text(json.dumps(self.content))
        log = (self.lab.directory / f"log/daemon-{self.name}.log").open("a")
        command = ["env", f"PASSWORD={PASSWORD}", str(PROBE), "run", "--config", str(self.file)]
        self.child = self.lab.popen(command, namespace=self.namespace, stdout=log, stderr=log)

    def process(self) -> subprocess.Popen[str]:
        if self.child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.child

    def reload(self, text: str) -> None:
        self.file.write_text(text)
        self.process().send_signal(signal.SIGHUP)


@dataclass(kw_only=True)
class Course:
    """How one fault went: when it was on and off, and when each of its alerts was told and taken back."""

    fault: Fault
    on: float = 0.0
    off: float = 0.0
    told: dict[int, float] = field(default_factory=dict)
    over: dict[int, float] = field(default_factory=dict)
    receivers: dict[int, str] = field(default_factory=dict)

    def begin(self) -> None:
        print(f"{time.strftime('%H:%M:%S')} on: {self.fault.what}", file=sys.stderr, flush=True)
        self.fault.on()
        self.on = time.time()

    def look(self, pager: Pager) -> None:
        """Go on, if there is news."""
        for index, (alert, labels) in enumerate(self.fault.alerts):
            if index not in self.told and (one := pager.first(alert, "firing", self.on, **labels)):
                self.told[index], self.receivers[index] = one.at, one.receiver
                print(
                    f"{time.strftime('%H:%M:%S')} {alert} after {one.at - self.on:.1f} s", file=sys.stderr, flush=True
                )
            if self.off and index not in self.over and (one := pager.first(alert, "resolved", self.off, **labels)):
                self.over[index] = one.at
        if not self.off and len(self.told) == len(self.fault.alerts):
            self.fault.off()
            self.off = time.time()

    @property
    def ended(self) -> bool:
        return len(self.over) == len(self.fault.alerts)

    def rows(self) -> Iterator[tuple[str, ...]]:
        for index, (alert, labels) in enumerate(self.fault.alerts):
            who = "/".join(value for key, value in labels.items() if key != "severity")
            told = f"{self.told[index] - self.on:.0f}" if index in self.told else "never"
            left = max(0, kept(rule(alert, labels.get("severity"))) - KEPT)
            over = f"{self.over[index] - self.off:.0f} + {left}" if index in self.over else "not in this run"
            yield f"`{alert}`", self.fault.what, who, self.receivers.get(index, "–"), told, over


@contextlib.contextmanager
def world(daemons: list[Daemon]) -> Iterator[Pager]:
    """The daemons, watched and paged for; every one of them has a verdict of each endpoint; the rules know them."""
    lab = daemons[0].lab
    for daemon in daemons:
        daemon.start()
    with paged(lab, [daemon.target for daemon in daemons], most_kept=KEPT) as pager:
        one = Watched(lab)
        count = sum(len(path["endpoints"]) for daemon in daemons for path in daemon.content["paths"])
        query = 'sum(mailprobe_verdict{verdict="preserved"})'
        wait_until(lambda: one.asked(query) == {"": float(count)}, f"{count} endpoints that are preserved", 120)
        known, all_known = "count(job_instance:mailprobe_seen:seconds)", {"": float(len(daemons))}
        wait_until(lambda: one.asked(known) == all_known, "every vantage in a recording, as after some minutes", 150)
        yield pager


def one_by_one(pager: Pager, faults: list[Fault], random: Random) -> list[Course]:
    courses = []
    for fault in faults:
        course = Course(fault=fault)
        courses.append(course)
        time.sleep(random.uniform(0, 30))  # anywhere between two sessions
        course.begin()
        _until_ended(pager, [course])
        wait_until(pager.quiet, "the end of every page", 600)
        time.sleep(FORGETS)
    return courses


def side_by_side(pager: Pager, faults: list[Fault], random: Random) -> list[Course]:
    courses = [Course(fault=fault) for fault in faults]
    for course in courses:
        time.sleep(random.uniform(0, 3))
        course.begin()
        for other in courses:
            if other.on:
                other.look(pager)
    _until_ended(pager, courses)
    return courses


def _until_ended(pager: Pager, courses: list[Course]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(course.ended for course in courses) and time.monotonic() < deadline:
        for course in courses:
            course.look(pager)
        time.sleep(LOOK)


def measure_network(lab: Lab, random: Random, only: Sequence[str]) -> list[Course]:
    services = [{"service": service} for service in SERVICES]
    daemons = [
        Daemon(lab=lab, content=settings(lab, "outside", [smtp("vip", None, endpoints=services)], "127.0.0.1:9797")),
        Daemon(lab=lab, content=settings(lab, "inside", [smtp("lan", None)], f"{LAN_LISTEN}:9797"), namespace="lan"),
    ]
    with world(daemons) as pager:
        return one_by_one(pager, of_network(lab, only), random)


def measure_beside(lab: Lab, random: Random, _only: Sequence[str]) -> list[Course]:
    """The page about masking comes last: Alertmanager does not take back what is inhibited when it ends."""
    paths = [smtp("vip", None, endpoints=[{"service": service} for service in SERVICES])]
    daemon = Daemon(lab=lab, content=settings(lab, "outside", paths, "127.0.0.1:9797"))
    with world([daemon]) as pager:
        silenced = one_by_one(pager, [beside_masking(lab, random, silenced=True)], random)
        return silenced + side_by_side(pager, [beside_masking(lab, random, silenced=False)], random)


def beside_masking(lab: Lab, random: Random, *, silenced: bool) -> Fault:
    one = Watched(lab)
    query = 'ALERTS{alertname="MailprobeMasked",alertstate="firing"}'
    masking, _ = network(lab, SCENARIOS["cluster"].network)
    dropping, mended = network(lab, SCENARIOS["drop"].network)

    def on() -> None:
        if silenced:
            tool = ["amtool", f"--alertmanager.url=http://127.0.0.1:{ALERTMANAGER}", "silence", "add"]
            done = lab.run([*tool, "alertname=MailprobeMasked", "path=vip", "--duration=4m", "--comment=planned"])
            if done.returncode:
                raise RuntimeError(done.stderr)
        masking()
        wait_until(lambda: len(one.asked(query)) == len(SERVICES), "masked, every service of it", 180)
        time.sleep(random.uniform(10, 40))  # its group has been told, or has not, since when
        dropping()

    what = f"a drop, beside a MailprobeMasked that is {'silenced' if silenced else 'paging'}"
    alerts = tuple(("MailprobeSilentDrop", {"path": "vip", "service": service}) for service in SERVICES)
    return Fault(what=what, alerts=alerts, on=on, off=mended)


def measure_listeners(lab: Lab, random: Random, only: Sequence[str]) -> list[Course]:
    router = Router(lab=lab)
    prepare(lab)
    copies = {
        name: Copied(log=lab.postfix_log, copy=lab.directory / f"log/{name}.log")
        for name in ("deaf", "lossy", "blind", "ahead")
    }
    copies["ahead"].ahead = 0.0
    for copy in copies.values():
        copy.start()
    daemons = {"main": Daemon(lab=lab, content=settings(lab, "main", main_paths(), "127.0.0.1:9797"))}
    for number, (name, path, more) in enumerate(
        (
            ("second", "twin", {}),
            ("forger", "forged", {"checks": {"spoof": True, "spoof_interval": "1m"}}),
            *(
                (name, name, {"evidence": {"sources": [{"kind": "file", "path": str(copy.copy)}]}})
                for name, copy in copies.items()
            ),
            ("mortal", "mortal", {}),
            ("copied", "copied", {}),
        ),
        start=9801,
    ):
        paths = [smtp(path, SOURCES["second" if name == "second" else path])]
        daemons[name] = Daemon(lab=lab, content=settings(lab, name, paths, f"127.0.0.1:{number}", **more))
    faults = [*of_listeners(lab, router), *of_vantages(daemons, copies)]
    short = Fault(
        what="the router drops one path for the length of a session",
        alerts=(("MailprobeShortOutage", {"path": "short"}),),
        on=gap(lab, router),
        off=lambda: None,
    )
    with world(list(daemons.values())) as pager:
        told = [one for one in (*faults, short) if not only or one.alerts[0][0] in only]
        done = side_by_side(pager, told, random)
    for copy in copies.values():
        copy.stop()
    return done


def prepare(lab: Lab) -> None:
    """Names and addresses that the paths need."""
    hosts = lab.directory / "etc/hosts"
    hosts.write_text(hosts.read_text() + f"{VIP.v4} {NAMED}\n")
    more = "".join(f"ip addr add {address}/24 dev eth0 2>/dev/null || true\n" for address in SOURCES.values())
    enter(lab.name, "vantage", more)


def of_vantages(daemons: Mapping[str, Daemon], copies: Mapping[str, Copied]) -> list[Fault]:
    """What befalls the daemons and their evidence."""

    def lose(copy: Copied, what: bytes | None) -> Callable[[], None]:
        return lambda: setattr(copy, "without", what)

    blind = copies["blind"].copy
    away = blind.with_name("blind.away")
    good = daemons["second"]
    mortal = daemons["mortal"]
    end, again = process(mortal.process, mortal.start)
    copied = daemons["copied"]
    namesake = copied.content | {"vantage": copied.content["vantage"] | {"name": "forger"}}
    return [
        Fault(
            what="the log stops coming",
            alerts=(("MailprobeEvidenceSourceSilent", {"vantage": "deaf"}),),
            on=lose(copies["deaf"], b""),
            off=lose(copies["deaf"], None),
        ),
        Fault(
            what="the log comes without the probe's sessions",
            alerts=(("MailprobeUnverified", {"path": "lossy"}),),
            on=lose(copies["lossy"], SOURCES["lossy"].encode()),
            off=lose(copies["lossy"], None),
        ),
        Fault(
            what="the log file is gone",
            alerts=(("MailprobeEvidenceSourceDown", {"vantage": "blind"}),),
            on=lambda: blind.rename(away),
            off=lambda: away.rename(blind),
        ),
        Fault(
            what="the clock that stamps the log goes 20 s ahead",
            alerts=(("MailprobeEvidenceClockOff", {"vantage": "ahead"}),),
            on=lambda: setattr(copies["ahead"], "ahead", 20.0),
            off=lambda: setattr(copies["ahead"], "ahead", 0.0),
        ),
        Fault(
            what="a vantage ends",
            alerts=(("MailprobeDown", {"vantage": "mortal"}), ("MailprobeAbsent", {"path": "mortal"})),
            on=end,
            off=again,
        ),
        Fault(
            what="a configuration with a fault is read",
            alerts=(("MailprobeReloadFailed", {"vantage": "second"}),),
            on=lambda: good.reload("paths: []"),
            off=lambda: good.reload(json.dumps(good.content)),
        ),
        Fault(
            what="a daemon takes the name of another",
            alerts=(("MailprobeVantageTwice", {"vantage": "forger"}),),
            on=lambda: copied.reload(json.dumps(namesake)),
            off=lambda: copied.reload(json.dumps(copied.content)),
        ),
    ]


def gap(lab: Lab, router: Router) -> Callable[[], None]:
    """Drop until the verdict is there, and no longer."""
    on, off = router.vanish(SOURCES["short"])
    one = Watched(lab)

    def act() -> None:
        on()
        query = 'mailprobe_verdict{path="short",verdict="silent_drop"} == 1'
        wait_until(lambda: bool(one.asked(query)), "a session that was dropped", 90)
        off()

    return act


PARTS = {"network": measure_network, "listeners": measure_listeners, "beside": measure_beside}


def main() -> int:
    parser = argparse.ArgumentParser(description="From a fault to whoever is paged.")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--only", action="append", default=[], metavar="ALERT", help="may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if GENERATION not in usable():
        print("There is no lab here: make lab-packages", file=sys.stderr)
        return NO_LAB
    with Lab(GENERATION) as lab:
        courses = PARTS[arguments.part](lab, Random(arguments.seed), arguments.only)  # noqa: S311 - a draw that can be repeated
    heads = ("alert", "fault", "of", "told to", "fault → webhook s", "end → resolved s")
    print(f"{machine()}.\n\n{markdown(heads, [row for course in courses for row in course.rows()])}")
    return 0 if all(course.ended for course in courses) else 1


if __name__ == "__main__":
    sys.exit(main())
