"""What two values of the file say to each other, and what it says about this machine.

- A check sees a Draft: the parts that are sound by themselves. So one misspelt key hides no other fault, and no check
  draws conclusions from a part that is broken.
- A check yields findings; CHECKS lists them all. `Found` stops the file, `Doubt` is a warning.
- Both sides of a contradiction are named.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from probe.model import AddressFamily, ImprintKind, Network, Networks, Service, plain_address
from probe.settings.evidence import EvidenceSettings
from probe.settings.faults import Location, dotted, shown, shown_name
from probe.settings.parts import CheckSettings, ScheduleSettings, TimeoutSettings, VantageSettings
from probe.settings.paths import IMPRINTS, EndpointSettings, PathSettings
from probe.settings.values import ReplyMode

UNBUILT_SOURCES: frozenset[str] = frozenset({"loki", "kubernetes", "journald", "syslog"})
UNBUILT_IMPRINTS: frozenset[ImprintKind] = frozenset({ImprintKind.DELIVER})
UNBUILT_CHECKS: frozenset[str] = frozenset({"spoof"})
"""What the file may say already and this version does not do yet; emptied as it is built."""

_NOT_YET = "not in this version yet: ignored"
_VERSIONS = {AddressFamily.IPV4: 4, AddressFamily.IPV6: 6}
_LARGEST_CA_FILE = 4 << 20
_CERTIFICATE = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class Found:
    """A fault at a location."""

    location: Location
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A warning at a location."""

    location: Location
    reason: str


_Key = TypeVar("_Key", bound=Hashable)
Finding = Found | Doubt
SoundPath = tuple[Location, PathSettings]
SoundEndpoint = tuple[Location, EndpointSettings]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """The sound parts of a file; None and missing items are parts that already have a fault of their own.

    `endpoints` are all sound endpoints, also those of paths that are not sound themselves.
    """

    vantage: VantageSettings | None = None
    paths: tuple[SoundPath, ...] = ()
    endpoints: tuple[SoundEndpoint, ...] = ()
    schedule: ScheduleSettings | None = None
    timeouts: TimeoutSettings | None = None
    checks: CheckSettings | None = None
    networks: Networks | None = None
    evidence: EvidenceSettings | None = None


def findings(draft: Draft) -> Iterator[Finding]:
    """Everything the checks have to say about a draft."""
    for check in CHECKS:
        yield from check(draft)


def _path_names(draft: Draft) -> Iterator[Finding]:
    named = [((*place, "name"), path.name) for place, path in draft.paths]
    for place, name, first in _repeated(named):
        yield Found(place, shown(name), f"a name no other path has ({dotted(first)} is the same)")


def _one_endpoint_each(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        keyed = [
            ((*place, "endpoints", index), (endpoint.service, endpoint.port))
            for index, endpoint in enumerate(path.endpoints)
        ]
        for again, (service, port), first in _repeated(keyed):
            yield Found(again, f"{service} on port {port}", f"each once on a path ({dotted(first)} is the same)")


def _families(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        wanted, literal, source = _VERSIONS.get(path.address_family), _version(path.host), path.source_address
        if wanted and literal and wanted != literal:
            yield Found((*place, "host"), path.host, f"an {_family(wanted)} address, as address_family says")
        if source is None:
            continue
        if wanted and source.version != wanted:
            expected = f"an {_family(wanted)} address, as address_family says"
            yield Found((*place, "source_address"), str(source), expected)
        elif literal and source.version != literal:
            expected = f"an {_family(literal)} address, as host {path.host} is one"
            yield Found((*place, "source_address"), str(source), expected)


def _imprints(draft: Draft) -> Iterator[Finding]:
    for place, endpoint in draft.endpoints:
        where = (*place, "imprint")
        allowed = IMPRINTS[endpoint.service]
        if endpoint.imprint not in allowed:
            yield Found(where, shown(str(endpoint.imprint)), f"one of {', '.join(allowed)} for {endpoint.service}")
        elif endpoint.imprint is ImprintKind.LOGIN and endpoint.login is None:
            yield Found(where, "'login'", f"a login on the same endpoint: {dotted((*place, 'login'))} is missing")


def _mailbox_to_read_back(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        if any(endpoint.service is Service.IMAPS and endpoint.login for endpoint in path.endpoints):
            continue
        for index, endpoint in enumerate(path.endpoints):
            if endpoint.imprint is ImprintKind.DELIVER and endpoint.service.speaks_smtp:
                expected = "an imaps endpoint with a login on the same path, where the message is read back"
                yield Found((*place, "endpoints", index, "imprint"), "'deliver'", expected)


def _authorities(draft: Draft) -> Iterator[Finding]:
    for place, path in draft.paths:
        file, where = path.tls.ca_file, (*place, "tls", "ca_file")
        if file is None:
            continue
        if not path.tls.verify:
            yield Found(where, shown_name(file), f"no ca_file where {dotted((*place, 'tls', 'verify'))} is false")
        if reason := _no_certificates(file):
            yield Found(where, f"{shown_name(file)}: {reason}", "a readable PEM file of certificates")


def _password_files(draft: Draft) -> Iterator[Finding]:
    for place, endpoint in draft.endpoints:
        file = endpoint.login.password_file if endpoint.login else None
        if file is not None and (mode := _mode(file)) & stat.S_IROTH:
            reason = f"{file} is readable by every user of this machine (mode {mode:04o})"
            yield Doubt((*place, "login", "password_file"), reason)


def _pace(draft: Draft) -> Iterator[Finding]:
    if draft.schedule is None:
        return
    interval, most = draft.schedule.interval, draft.schedule.max_sessions_per_minute
    if 60.0 / interval > most + 1e-9:
        expected = f"at least {60.0 / most:g}s, the shortest that schedule.max_sessions_per_minute = {most} allows"
        yield Found(("schedule", "interval"), f"{interval:g}s", expected)


def _timeouts(draft: Draft) -> Iterator[Finding]:
    limits = draft.timeouts
    if limits is not None and limits.connect > limits.session:
        expected = f"at most timeouts.session, which is {limits.session:g}s"
        yield Found(("timeouts", "connect"), f"{limits.connect:g}s", expected)


def _groups(draft: Draft) -> Iterator[Finding]:
    if draft.networks is None:
        return
    groups = {name: getattr(draft.networks, name) for name in ("nodes", "pods", "gateways", "proxies")}
    for (first, ours), (second, theirs) in combinations(groups.items(), 2):
        for index, network in enumerate(theirs):
            if network in ours:
                expected = f"each network in one group (networks.{first}[{ours.index(network)}] is the same)"
                yield Found(("networks", second, index), str(network), expected)


def _vantage_outside(draft: Draft) -> Iterator[Finding]:
    if draft.vantage is None or draft.networks is None:
        return
    for index, address in enumerate(draft.vantage.addresses):
        for name, held in (("nodes", draft.networks.nodes), ("pods", draft.networks.pods)):
            if around := _overlapping(address, held):
                reason = f"{address} lies in networks.{name} ({around}): from there no session walks the clients' path"
                yield Doubt(("vantage", "addresses", index), reason)


def _log_sources(draft: Draft) -> Iterator[Finding]:
    if draft.evidence is None:
        return
    sources = draft.evidence.sources
    for place, _, first in _repeated((("evidence", "sources", index), one) for index, one in enumerate(sources)):
        expected = f"each source once ({dotted(first)} is the same): lines read twice prove nothing"
        yield Found(place, "the same source again", expected)
    if draft.evidence.reply is ReplyMode.OFF and all(source.kind in UNBUILT_SOURCES for source in sources):
        yield Doubt(("evidence",), "no usable source and reply off: every session will end unverified")


def _unbuilt(draft: Draft) -> Iterator[Finding]:
    for index, source in enumerate(draft.evidence.sources if draft.evidence else ()):
        if source.kind in UNBUILT_SOURCES:
            yield Doubt(("evidence", "sources", index, "kind"), f"{source.kind} is {_NOT_YET}")
    for place, endpoint in draft.endpoints:
        if endpoint.imprint in UNBUILT_IMPRINTS and endpoint.imprint in IMPRINTS[endpoint.service]:
            yield Doubt((*place, "imprint"), f"{endpoint.imprint} is {_NOT_YET}")
    for name in sorted(UNBUILT_CHECKS) if draft.checks else ():
        if getattr(draft.checks, name):
            yield Doubt(("checks", name), f"{name} is {_NOT_YET}")


CHECKS: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    _path_names,
    _one_endpoint_each,
    _families,
    _imprints,
    _mailbox_to_read_back,
    _authorities,
    _password_files,
    _pace,
    _timeouts,
    _groups,
    _vantage_outside,
    _log_sources,
    _unbuilt,
)


def _repeated(items: Iterable[tuple[Location, _Key]]) -> Iterator[tuple[Location, _Key, Location]]:
    seen: dict[_Key, Location] = {}
    for place, key in items:
        if key in seen:
            yield place, key, seen[key]
        seen.setdefault(key, place)


def _version(host: str) -> int | None:
    try:
        return plain_address(host).version
    except ValueError:
        return None


def _family(version: int) -> str:
    return f"IPv{version}"


def _overlapping(network: Network, held: tuple[Network, ...]) -> Network | None:
    return next((other for other in held if other.version == network.version and other.overlaps(network)), None)


def _mode(file: Path) -> int:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return 0


def _no_certificates(file: Path) -> str | None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "no regular file"
        with file.open("rb") as opened:
            return None if _CERTIFICATE in opened.read(_LARGEST_CA_FILE) else "no certificate in it"
    except OSError as error:
        return error.strerror or "unreadable"
    except ValueError:
        return "no possible file name"
