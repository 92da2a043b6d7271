"""Tables: the answers as rows, columns as the panel's transformations leave them, cells coloured as it says. Pure.

Of Grafana's transformations those that the dashboard uses: groupingToMatrix, merge, organize.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.picture.ask import Answer, Panel
from dashboards.picture.look import EDGE, SOFT, column, shown
from dashboards.picture.svg import Box, line, on, rect, text

Row = Mapping[str, str | float]
Options = Mapping[str, Any]
ROW = 24.0


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns, and rows that have some of them."""

    columns: Sequence[str]
    rows: Sequence[Row]


def table(panel: Panel, answers: Sequence[Answer]) -> Table:
    """What is left after the transformations."""
    rows = _merged(answers, several=len(panel["targets"]) > 1)
    content = Table(list(dict.fromkeys(name for row in rows for name in row)), rows)
    for one in panel["transformations"]:
        content = STEPS[one["id"]](content, one["options"])
    for by in panel["options"].get("sortBy", ()):
        [name] = [name for name in content.columns if column(panel, name)["displayName"] == by["displayName"]]
        content = _sorted(content, {"sort": [{"field": name, "desc": by["desc"]}]})
    return content


def _sorted(content: Table, options: Options) -> Table:
    [by] = options["sort"]
    return Table(content.columns, sorted(content.rows, key=lambda row: row[by["field"]], reverse=by.get("desc", False)))


def _organized(content: Table, options: Options) -> Table:
    order: Mapping[str, int] = options["indexByName"]
    left = [name for name in content.columns if not options["excludeByName"].get(name)]
    return Table(sorted(left, key=lambda name: order.get(name, len(order))), content.rows)


def _greatest(content: Table, options: Options) -> Table:
    """The greatest number of each row, in a column of its own."""
    name = options["alias"]
    rows = [{**row, name: max(one for one in row.values() if isinstance(one, float))} for row in content.rows]
    return Table([*content.columns, name], rows)


def _merged(answers: Sequence[Answer], *, several: bool) -> list[dict[str, str | float]]:
    """A row for each set of labels; a row takes in what says more of the same thing."""
    rows: list[dict[str, str | float]] = []
    for answer in answers:
        name = f"Value #{answer.query}" if several else "Value"
        fields: dict[str, str | float] = {**answer.labels, name: answer.latest}
        same = next((row for row in rows if name not in row and _agree(row, answer.labels)), None)
        if same is None:
            rows.append(fields)
        else:
            same.update(fields)
    return rows


def _agree(row: Row, labels: Mapping[str, str]) -> bool:
    return all(row.get(name, value) == value for name, value in labels.items())


def _matrix(content: Table, options: Options) -> Table:
    across, down, value = options["columnField"], options["rowField"], options["valueField"]
    corner = f"{down}\\{across}"
    lines: dict[str | float, dict[str, str | float]] = {}
    for row in content.rows:
        lines.setdefault(row[down], {corner: row[down]})[str(row[across])] = row[value]
    names = dict.fromkeys(str(row[across]) for row in content.rows)
    return Table([corner, *names], list(lines.values()))


STEPS: Mapping[str, Callable[[Table, Options], Table]] = {
    "sortBy": _sorted,
    "groupingToMatrix": _matrix,
    "calculateField": _greatest,
    "merge": lambda content, _: content,  # the rows were merged when they were made
    "organize": _organized,
}


def cells(panel: Panel, answers: Sequence[Answer], box: Box) -> list[str]:
    """The table, as many rows of it as fit."""
    content = table(panel, answers)
    looks = [column(panel, name) for name in content.columns]
    places = _places(looks, box)
    parts = [
        text(x + 6, box.y + 12, look["displayName"], size=11, fill=SOFT, width=width - 10)
        for (x, width), look in zip(places, looks, strict=True)
    ]
    fitting = int((box.h - 18) / ROW)
    for number, row in enumerate(content.rows[:fitting]):
        y = box.y + 18 + ROW * number
        parts.append(line([(box.x, y), (box.x + box.w, y)], EDGE))
        for (x, width), name, look in zip(places, content.columns, looks, strict=True):
            if name in row:
                parts.extend(_cell(look, row[name], Box(x, y, width, ROW)))
    if len(content.rows) > fitting:
        more = f"… {len(content.rows) - fitting} more rows"
        parts.append(text(box.x + box.w, box.y + box.h + 4, more, size=10, fill=SOFT, text_anchor="end"))
    return parts


def _places(looks: Sequence[Mapping[str, Any]], box: Box) -> list[tuple[float, float]]:
    """Where each column begins and how wide it is: as it says, or an equal share of what is left."""
    given = [look.get("custom.width") for look in looks]
    fixed = [float(one) for one in given if one]
    share = (box.w - sum(fixed)) / max(1, len(looks) - len(fixed))
    widths = [float(one) if one else share for one in given]
    return [(box.x + sum(widths[:number]), width) for number, width in enumerate(widths)]


def _cell(look: Mapping[str, Any], value: str | float, box: Box) -> list[str]:
    if isinstance(value, str):
        return [text(box.x + 6, box.y + 16, value, size=11.5, width=box.w - 10)]
    word, colour = shown(look, value)
    if not (look.get("custom.cellOptions") or look.get("mappings")):
        return [text(box.x + 6, box.y + 16, word, size=11.5, width=box.w - 10)]
    ground = rect(box.inside(1, 1, 1, 1), colour)
    return [ground, text(box.x + 6, box.y + 16, word, size=11.5, fill=on(colour), width=box.w - 10)]
