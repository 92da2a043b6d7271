"""The style sheet, the script and the icons: our own, and named after their content so that browsers may keep them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from probe.model import Severity


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content_type: str
    body: bytes


COLOURS = {
    Severity.OK: "#1a7f37",
    Severity.WARNING: "#9a6700",
    Severity.CRITICAL: "#c1121f",
    Severity.UNKNOWN: "#5b6573",
}

_SHAPES = {
    Severity.OK: '<path d="M9 17l5 5 10-12"/>',
    Severity.WARNING: '<path d="M16 7v11M16 22v4"/>',
    Severity.CRITICAL: '<path d="M10 10l12 12M22 10L10 22"/>',
    Severity.UNKNOWN: '<path d="M11 12a5 5 0 1 1 7 5c-2 1-2 2-2 3M16 23v3"/>',
}
"""Each its own, for whoever cannot tell the colours."""


def _icon(severity: Severity) -> bytes:
    disc = f'<circle cx="16" cy="16" r="15" fill="{COLOURS[severity]}"/>'
    shape = f'<g fill="none" stroke="#fff" stroke-width="4">{_SHAPES[severity]}</g>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{disc}{shape}</svg>'.encode()


def _read(name: str) -> bytes:
    return files("probe.service.web").joinpath("assets", name).read_bytes()


ASSETS: dict[str, Asset] = {}
"""By path."""


def _placed(name: str, content_type: str, body: bytes) -> str:
    stem, _, kind = name.rpartition(".")
    path = f"/assets/{stem}-{sha256(body).hexdigest()[:12]}.{kind}"
    ASSETS[path] = Asset(content_type, body)
    return path


STYLE = _placed("page.css", "text/css", _read("page.css"))
SCRIPT = _placed("live.js", "text/javascript", _read("live.js"))
_ICONS = {severity: _placed(f"{severity}.svg", "image/svg+xml", _icon(severity)) for severity in Severity}


def icon_of(severity: Severity) -> str:
    """Where the icon of a severity is."""
    return _ICONS[severity]
