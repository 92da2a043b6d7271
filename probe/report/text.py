"""Text of strangers, made harmless to look at. Pure.

Log lines, replies and EHLO texts are written by whoever likes. Escape sequences recolour a terminal, and marks of the
bidirectional algorithm (UAX 9) make a line read as another one: such characters are shown by their number instead.
"""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and newline
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""Characters without a shape of their own: controls, marks of direction, joiners, halves of surrogate pairs, tags."""


def visible(text: str) -> str:
    r"""The text with what nobody can see written out.

    >>> visible("a\x1b[31mb\u202ec\n")
    'a\\x1b[31mb\\u202ec\n'
    """
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub(_number, text)


def one_line(text: str, longest: int = 200) -> str:
    """The same on one line, and not longer than this."""
    line = visible(text.replace("\n", " ").replace("\t", " "))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def both_ends(text: str, longest: int) -> str:
    """The same, cut in the middle: names differ at their ends.

    >>> both_ends("local/submission", 13), both_ends("local/submissions", 13)
    ('local/…ission', 'local/…ssions')
    """
    line = one_line(text)
    kept = max(longest - 1, 0)
    return line if len(line) <= longest else line[: kept // 2] + "…" + line[len(line) - (kept - kept // 2) :]


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def span(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> span(0.2), span(42), span(3_600), span(4_000), span(200_000)
    ('0 s', '42 s', '1 h', '1 h 6 min', '2 d 7 h')
    """
    whole = max(round(seconds), 0)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    first = next((index for index, (_, size) in enumerate(units) if whole >= size), len(units) - 1)
    parts = []
    for name, size in units[first : first + 2]:
        count, whole = divmod(whole, size)
        parts.append(f"{count} {name}")
    return " ".join(part for index, part in enumerate(parts) if index == 0 or not part.startswith("0 "))


def counted(number: int, noun: str, many: str | None = None) -> str:
    """A number and its noun.

    >>> counted(1, "session"), counted(1200, "session")
    ('1 session', '1,200 sessions')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"
