"""A panel's queries put to Prometheus as Grafana puts them: over time, at the end, or for a table.

AskError says which query was refused and why.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from dashboards.picture.expand import Span, expand

SECONDS = 60
Panel = Mapping[str, Any]


class AskError(Exception):
    """A query that Prometheus did not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One series: its labels, its name in the legend, its points as (seconds, value); one point if asked at the end."""

    query: str
    labels: Mapping[str, str]
    legend: str
    points: Sequence[tuple[float, float]]

    @property
    def latest(self) -> float:
        """The latest value."""
        return self.points[-1][1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A session that fell into a bucket."""

    session: str
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One Prometheus, asked for one span of time with these values of variables."""

    url: str
    span: Span
    values: Mapping[str, str]

    def of(self, panel: Panel) -> Prometheus:
        """The same, no finer than this panel wants it."""
        span = self.span
        coarsest = (span.end - span.begin) / panel.get("maxDataPoints", math.inf)
        return replace(self, span=replace(span, step=max(span.step, coarsest)))

    def answers(self, panel: Panel) -> list[Answer]:
        """The answers to all queries of a panel, in order."""
        return [answer for target in panel["targets"] for answer in self._answers(target)]

    def exemplars(self, panel: Panel) -> list[Exemplar]:
        """The exemplars of a panel's queries, where it asks for them."""
        asked = [self.filled(target["expr"]) for target in panel["targets"] if target.get("exemplar")]
        told = [one for query in asked for one in self._get("query_exemplars", query=query, **self._ends)]
        return [
            Exemplar(session=one["labels"]["session_id"], at=float(one["timestamp"]), seconds=float(one["value"]))
            for series in told
            for one in series["exemplars"]
        ]

    def annotations(self, annotation: Mapping[str, Any]) -> list[Answer]:
        """Where an annotation holds."""
        return self._over_time({"refId": "Anno", "legendFormat": annotation["titleFormat"], **annotation})

    def filled(self, text: str) -> str:
        """A text with the variables of this span filled in."""
        return expand(text, {**self.values, **self.span.variables})

    def said(self, text: str) -> str:
        """The same for people: several values with a plus between them."""
        return expand(text, {name: value.strip("()").replace("|", " + ") for name, value in self.values.items()})

    @property
    def _ends(self) -> dict[str, float]:
        return {"start": self.span.begin, "end": self.span.end}

    def _answers(self, target: Mapping[str, Any]) -> list[Answer]:
        return self._at_end(target) if target.get("instant") else self._over_time(target)

    def _over_time(self, target: Mapping[str, Any]) -> list[Answer]:
        told = self._get("query_range", query=self.filled(target["expr"]), step=self.span.step, **self._ends)
        return [_answer(target, one["metric"], one["values"]) for one in told["result"]]

    def _at_end(self, target: Mapping[str, Any]) -> list[Answer]:
        told = self._get("query", query=self.filled(target["expr"]), time=self.span.end)
        return [_answer(target, one["metric"], [one["value"]]) for one in told["result"]]

    def _get(self, what: str, **parameters: Any) -> Any:
        try:
            with urlopen(f"{self.url}/api/v1/{what}", urlencode(parameters).encode(), SECONDS) as told:  # noqa: S310
                return json.load(told)["data"]
        except HTTPError as refused:
            raise AskError(f"{parameters['query']}: {refused.read().decode(errors='replace')[:500]}") from refused
        except (ValueError, KeyError, TypeError) as strange:
            raise AskError(f"{self.url} does not answer as a Prometheus does") from strange


def _answer(target: Mapping[str, Any], labels: Mapping[str, str], values: Sequence[Sequence[Any]]) -> Answer:
    legend = re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target.get("legendFormat", ""))
    points = [(float(at), float(value)) for at, value in values]
    return Answer(query=target["refId"], labels=labels, legend=legend, points=points)
