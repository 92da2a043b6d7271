"""HTML that cannot be forgotten to be escaped. Pure.

- `element` escapes every text that it is given, content and attributes alike; only `Html`, which only this file makes,
  passes through. What nobody can see is written out first (text.py).
- Attributes are keyword arguments: `class_` is class, `aria_label` is aria-label; None and False leave one out.
- No style and no script ever stands in a page of the daemon: its Content-Security-Policy forbids both (guard.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from probe.report.text import visible


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | None | Iterable["Content"]
"""Text, HTML, nothing, or more of them."""

NOTHING = Html()
_VOID = frozenset({"meta", "link", "br", "hr", "wbr"})


def element(tag: str, /, *content: Content, **attributes: str | float | None) -> Html:
    """One element with its content.

    >>> element("a", "1 < 2", href="/?a=1&b=2", class_="x")
    '<a href="/?a=1&amp;b=2" class="x">1 &lt; 2</a>'
    """
    opened = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if tag in _VOID:
        return Html(f"<{tag}{opened}>")
    return Html(f"<{tag}{opened}>{html(*content)}</{tag}>")


def html(*content: Content) -> Html:
    """Content side by side."""
    return Html("".join(_parts(content)))


def prose(text: str) -> Html:
    """Our own sentences: what stands between backticks is to be typed."""
    return html([element("code", one) if index % 2 else one for index, one in enumerate(text.split("`"))])


def _parts(content: Iterable[Content]) -> Iterable[str]:
    for one in content:
        if isinstance(one, Html):
            yield str(one)
        elif isinstance(one, str):
            yield _escaped(one, quote=False)
        elif one is not None:
            yield from _parts(one)


def _attribute(key: str, value: str | float) -> str:
    if value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_escaped(str(value), quote=True)}"'


def _escaped(text: str, *, quote: bool) -> str:
    return str(text) if text.isalnum() and text.isascii() else escape(visible(text), quote)
