"""A file -> Settings, or all of its faults at once.

    bytes ──decoded──▶ text ──parsed──▶ Document ──models──▶ Draft ──checks──▶ Settings with warnings

The way on a faulty file is the same, only with gaps: each part is validated by itself, so that the checks still see
every part that is sound. A password that cannot be had makes no gap, for its file may be on another machine: one is
stood in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from probe.model import Expanded
from probe.settings.checks import findings
from probe.settings.document import MAX_BYTES, Document, Unreadable, decoded, parsed
from probe.settings.draft import Doubt, Draft, Found
from probe.settings.evidence import EvidenceSettings
from probe.settings.faults import (
    ConfigurationError,
    ConfigurationFault,
    ConfigurationNotFound,
    ConfigurationWarning,
    Location,
    dotted,
    kind_of,
    shown,
    shown_name,
)
from probe.settings.loki import LokiSink
from probe.settings.parts import (
    HistorySettings,
    NetworkSettings,
    ScheduleSettings,
    Settings,
    TimeoutSettings,
    TopologySettings,
    VantageSettings,
)
from probe.settings.paths import EndpointSettings, PathSettings

SYSTEM_FILE = Path("/etc/mailprobe/mailprobe.yaml")
LOCAL_FILE = "mailprobe.yaml"
FILE_VARIABLE = "MAILPROBE_CONFIG"

_EXPECTED: dict[str, str] = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "missing": "a value",
    "union_tag_not_found": "one of file, loki, kubernetes, journald, syslog",
    "union_tag_invalid": "one of file, loki, kubernetes, journald, syslog",
    "literal_error": "loki",
    "too_short": "at least one",
}
_SHAPES = frozenset({"model_type", "model_attributes_type", "dict_type", "tuple_type"})

_STAND_IN: Final = Expanded("stand-in", "${PASSWORD}")

_Part = TypeVar("_Part", bound=BaseModel)


def load(path: Path, *, environment: Mapping[str, str], hostname: str) -> Settings:
    """Read and check a configuration file. Raises ConfigurationError with every fault in it."""
    try:
        document = parsed(decoded(_read(path)), environment)
    except Unreadable as unreadable:
        raise ConfigurationError(str(path), [unreadable.fault]) from None
    settings, faults, warnings = _validated(document, hostname)
    if settings is None or faults:
        raise ConfigurationError(str(path), faults)
    return settings.with_warnings(warnings)


def find_config(
    explicit: str | Path | None,
    *,
    environment: Mapping[str, str],
    cwd: Path,
    notice: Callable[[str], None],
    system: Path = SYSTEM_FILE,
) -> Path:
    """Choose the file: the one asked for, $MAILPROBE_CONFIG, ./mailprobe.yaml, or the system's.

    Whoever names a file means that one: only without a name is there a choice, and `notice` hears of it where both are
    there. Raises ConfigurationNotFound.
    """
    named = explicit or environment.get(FILE_VARIABLE)
    if named:
        chosen = cwd / named
        if not _is_there(chosen):
            by = "--config" if explicit else f"${FILE_VARIABLE}"
            raise ConfigurationNotFound([str(chosen)], f"the file that {by} names")
        return chosen
    places = (cwd / LOCAL_FILE, system)
    chosen_place = next((place for place in places if _is_there(place)), None)
    if chosen_place is None:
        expected = f"one of them, or a file named by --config or ${FILE_VARIABLE}"
        raise ConfigurationNotFound(map(str, places), expected)
    if _is_another(system, chosen_place):
        notice(f"the configuration is {chosen_place}, and not {system}: --config FILE takes another one")
    return chosen_place


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a directory that is not ours, say: whoever reads it is told so
        return True


def _is_another(file: Path, chosen: Path) -> bool:
    try:
        return not file.samefile(chosen)
    except OSError:  # it is not there, or not for us to see
        return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__, "a readable file") from None
    except ValueError:
        raise Unreadable("no possible file name", "a readable file") from None


_Outcome = tuple[Settings | None, tuple[ConfigurationFault, ...], tuple[ConfigurationWarning, ...]]


def _validated(document: Document, hostname: str) -> _Outcome:
    raw = _with_name(document.value, hostname)
    faults = list(document.faults)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
        draft = _whole_draft(settings)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        faults += _model_faults(errors, document, raw)
        draft = _partial_draft(_with_passwords(raw, {_location(one["loc"]) for one in errors}))
    warnings: list[ConfigurationWarning] = []
    for finding in findings(draft):
        line, path = document.line(finding.location), dotted(finding.location)
        if isinstance(finding, Doubt):
            warnings.append(ConfigurationWarning(path=path, reason=finding.reason, line=line))
        elif not _known_faulty(finding.location, document):
            faults.append(_fault(finding, document))
    return settings, tuple(_in_file_order(faults)), tuple(warnings)


def _fault(finding: Found, document: Document) -> ConfigurationFault:
    return ConfigurationFault(
        path=dotted(finding.location),
        found=finding.found,
        expected=finding.expected,
        line=document.line(finding.location),
    )


def _with_name(raw: object, hostname: str) -> object:
    """The vantage is named after the host unless the file names it."""
    if not isinstance(raw, dict):
        return {} if raw is None else raw
    vantage = raw.get("vantage")
    if vantage is None or (isinstance(vantage, dict) and vantage.get("name") is None):
        return {**raw, "vantage": {**(vantage or {}), "name": hostname}}
    return raw


def _known_faulty(location: Location, document: Document) -> bool:
    return any(location[:length] in document.faulty for length in range(1, len(location) + 1))


def _in_file_order(faults: Iterable[ConfigurationFault]) -> list[ConfigurationFault]:
    return sorted(dict.fromkeys(faults), key=lambda fault: fault.line or 0)


def _model_faults(errors: Iterable[ErrorDetails], document: Document, raw: object) -> Iterator[ConfigurationFault]:
    for error in errors:
        if error["type"] == "too_short" and error["input"]:
            continue  # items are missing only because each has a fault of its own
        location = _location(error["loc"])
        context = error.get("ctx", {})
        if at := context.get("at"):
            location = (*location[:-1], at)
        if error["type"].startswith("union_tag"):
            location = (*location, "kind")
        if _known_faulty(location, document):
            continue
        found, expected = _words(error, location, raw)
        yield ConfigurationFault(path=dotted(location), found=found, expected=expected, line=document.line(location))


def _location(loc: Location) -> Location:
    """Drop the kind of a source, which pydantic tells as if it were a step into the file, and the mark of a key."""
    if loc[:2] == ("evidence", "sources") and len(loc) > 3:
        loc = (*loc[:3], *loc[4:])
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _words(error: ErrorDetails, location: Location, raw: object) -> tuple[str, str]:
    """What was found and what was expected, without a value that might be secret."""
    context, kind = error.get("ctx", {}), error["type"]
    if kind == "extra_forbidden":
        return "an unknown key", _known_keys(location, raw)
    if kind == "unfit":
        return _found(context, error["input"], location, raw), context["expected"]
    if kind in ("missing", "union_tag_not_found"):
        return "nothing", _EXPECTED[kind]
    if kind in ("union_tag_invalid", "literal_error"):
        return shown(context.get("tag", error["input"])), _EXPECTED[kind]
    if kind == "too_short":
        return "an empty list", _EXPECTED[kind]
    return kind_of(error["input"]), _EXPECTED.get(kind, "another value")


def _found(context: Mapping[str, Any], given: object, location: Location, raw: object) -> str:
    if context["found"]:
        return str(context["found"])
    if context["reason"]:
        return f"{shown_name(_at(location, raw))}: {context['reason']}"
    return kind_of(given) if "password" in location else shown(given)


def _at(location: Location, raw: object) -> object:
    for step in location:
        if isinstance(raw, dict):
            raw = raw.get(str(step))
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
    return raw


def _known_keys(location: Location, raw: object) -> str:
    from probe.settings.schema import known_keys  # noqa: PLC0415 - only a faulty file needs the schema

    return known_keys(location, raw)


def _whole_draft(settings: Settings) -> Draft:
    paths = tuple((("paths", index), path) for index, path in enumerate(settings.paths))
    return Draft(
        vantage=settings.vantage,
        paths=paths,
        endpoints=tuple(
            ((*place, "endpoints", index), endpoint)
            for place, path in paths
            for index, endpoint in enumerate(path.endpoints)
        ),
        schedule=settings.schedule,
        timeouts=settings.timeouts,
        networks=settings.networks,
        evidence=settings.evidence,
        topology=settings.topology,
        history=settings.history,
        sink=settings.sink,
    )


def _with_passwords(raw: object, faulty: Container[Location], place: Location = ()) -> object:
    """The same file, were every password there: what its path says else can be checked without it."""
    if isinstance(raw, list):
        return [_with_passwords(item, faulty, (*place, index)) for index, item in enumerate(raw)]
    if not isinstance(raw, dict):
        return raw
    held = {key: _with_passwords(value, faulty, (*place, key)) for key, value in raw.items()}
    return {**held, "password_file": None, "password": _STAND_IN} if (*place, "password") in faulty else held


def _partial_draft(raw: object) -> Draft:
    top: dict[str, Any] = raw if isinstance(raw, dict) else {}
    paths = tuple(_sound(PathSettings, ("paths",), top.get("paths")))
    networks = _part(NetworkSettings, top.get("networks"))
    return Draft(
        vantage=_part(VantageSettings, top.get("vantage")),
        paths=paths,
        endpoints=tuple(_sound_endpoints(top.get("paths"))),
        schedule=_part(ScheduleSettings, top.get("schedule")),
        timeouts=_part(TimeoutSettings, top.get("timeouts")),
        networks=networks.as_networks() if networks else None,
        evidence=_part(EvidenceSettings, top.get("evidence")),
        topology=_part(TopologySettings, top.get("topology")),
        history=_part(HistorySettings, top.get("history")),
        sink=_part(LokiSink, top["sink"]) if top.get("sink") is not None else None,
    )


def _sound_endpoints(raw: object) -> Iterator[tuple[Location, EndpointSettings]]:
    for index, path in enumerate(raw if isinstance(raw, list) else []):
        if isinstance(path, dict):
            yield from _sound(EndpointSettings, ("paths", index, "endpoints"), path.get("endpoints"))


def _sound(model: type[_Part], place: Location, raw: object) -> Iterator[tuple[Location, _Part]]:
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        part = _part(model, item)
        if part is not None:
            yield (*place, index), part


def _part(model: type[_Part], raw: object) -> _Part | None:
    try:
        return model.model_validate({} if raw is None else raw)
    except ValidationError:
        return None
