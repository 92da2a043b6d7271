"""One page of metrics under way: families by the catalogue, each sample with its vantage. Nothing else makes families.

Whoever fills it names a metric and its labels; what the catalogue does not have is a KeyError, a bug of ours. One way
makes the samples of every kind, so the catalogue is all that knows kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import inf

from prometheus_client import Metric as Family
from prometheus_client.samples import Exemplar, Sample

from probe.service.distribution import Distribution, Example
from probe.service.metrics.catalogue import CATALOGUE, METRICS, VANTAGE, Kind, Metric
from probe.service.metrics.text import Labels

SESSION = "session_id"
"""The label of an exemplar: the session, as `/sessions/ID` shows it."""

Wall = Callable[[float], float]
"""What the wall clock calls a moment of the probe's clock."""

SUFFIXES = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
"""What a family's name lacks of its metric's."""


class Page:
    """Families of the metrics that are asked for; values for others are let go."""

    def __init__(self, vantage: str, metrics: Iterable[Metric] = CATALOGUE) -> None:
        self._vantage = vantage
        self._families = {metric.name: _family(metric) for metric in metrics}

    def families(self, *, empty: bool = True) -> Iterator[Family]:
        """In the order of the catalogue; those without a sample only if `empty` ones are wanted."""
        return (family for family in self._families.values() if empty or family.samples)

    def tell(self, name: str, value: float | None, *labels: str) -> None:
        """A value, the labels in the order of the catalogue; None is not known, and tells nothing."""
        told = self._labels(name, labels)
        if value is not None and name in self._families:
            self._families[name].samples.append(Sample(name, told, float(value)))

    def states(self, name: str, on: Iterable[str], among: Iterable[str], *labels: str) -> None:
        """A set of states, whole: 1 for those that hold, 0 for all others."""
        holding = {*on}
        for state in among:
            self.tell(name, state in holding, *labels, state)

    def distribution(self, name: str, told: Distribution, wall: Wall, *labels: str) -> None:
        """A histogram, with the latest session of each bucket as its exemplar."""
        own = self._labels(name, labels)
        counts = [float(count) for count in accumulate(told.counts)]
        buckets = zip((*told.bounds, inf), counts, told.examples, strict=True)
        samples = [
            Sample(f"{name}_bucket", own.of_bucket(_le(bound)), count, None, _exemplar(example, wall))
            for bound, count, example in buckets
        ]
        samples += (Sample(f"{name}_count", own, counts[-1]), Sample(f"{name}_sum", own, told.total))
        if name in self._families:
            self._families[name].samples += samples

    def _labels(self, name: str, values: tuple[str, ...]) -> Labels:
        return Labels({VANTAGE: self._vantage, **dict(zip(METRICS[name].labels, values, strict=True))})


def _family(metric: Metric) -> Family:
    return Family(metric.name.removesuffix(SUFFIXES.get(metric.kind, "")), metric.meaning, metric.kind)


def _exemplar(example: Example | None, wall: Wall) -> Exemplar | None:
    return None if example is None else Exemplar({SESSION: example.session}, example.seconds, wall(example.at))


def _le(bound: float) -> str:
    return "+Inf" if bound == inf else str(bound)
