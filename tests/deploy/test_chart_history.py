"""How big the chart lets the history get: less than its volume, whoever told how big that is."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest
import yaml
from lightkube.utils.quantity import parse_quantity

from probe.settings.parts import HistorySettings
from probe.settings.values import Size
from tests.deploy.chart import Rendered, merged, refusal, render, values_of

USUAL = "3Gi"
UNTOLD = "nothing says how big the claim old is: it is taken for 1Gi, of which the history takes 858MB at most"


def quantity(text: str) -> Decimal:
    """A quantity of Kubernetes."""
    number = parse_quantity(text)
    assert number is not None
    return number


def size_of(told: Rendered) -> str:
    return str(yaml.safe_load(told.configuration)["history"]["size"])


@pytest.mark.parametrize(
    ("volume", "history"),
    [
        (None, "2576MB"),
        ("1Gi", "858MB"),
        ("1G", "800MB"),
        ("13Mi", "10MB"),
        ("20000000", "16MB"),
        ("2.5Ti", "2199GB"),
        ("9Pi", "100000GB"),
    ],
)
def test_the_history_stays_below_its_volume(volume: str | None, history: str) -> None:
    """A full disk would cost the oldest sessions, a full empty directory the pod."""
    for persistent in (True, False):
        told = render(merged(values_of("minimal"), {"history": {"size": volume, "persistent": persistent}}))
        size = size_of(told)
        assert size == history
        assert 10 * get_args(Size)[1].read(size) <= 8 * quantity(volume or USUAL)


def test_the_usual_volume_has_room_for_the_probe_s_own_default() -> None:
    default = HistorySettings.model_fields["size"].default
    told = render(merged(values_of("minimal"), {"config": {"history": {"size": default}}}))
    assert size_of(told) == default
    assert told.one("PersistentVolumeClaim")["spec"]["resources"]["requests"]["storage"] == USUAL
    emptied = render(merged(values_of("minimal"), {"history": {"persistent": False}})).one("Deployment")
    volumes = {one["name"]: one for one in emptied["spec"]["template"]["spec"]["volumes"]}
    assert volumes["history"]["emptyDir"] == {"sizeLimit": USUAL}


@pytest.mark.parametrize(
    ("volume", "given", "history", "said"),
    [
        ({}, {}, "858MB", True),
        ({"size": "10Gi"}, {}, "8589MB", False),
        ({}, {"size": "5GB"}, "5GB", False),
        ({"size": "10Gi"}, {"size": "5GB"}, "5GB", False),
    ],
    ids=["nothing told", "the claim's", "the history's", "both"],
)
def test_a_claim_that_exists_is_as_big_as_it_is_told_to_be(
    volume: dict[str, str], given: dict[str, str], history: str, *, said: bool
) -> None:
    claim = {"history": {"existingClaim": "old", **volume}, "config": {"history": given}}
    told = render(merged(values_of("minimal"), claim))
    assert told.of("PersistentVolumeClaim") == []
    assert size_of(told) == history
    assert (UNTOLD in told.notes) is said


def test_a_claim_too_small_for_what_is_asked_of_it_is_refused() -> None:
    claim = {"history": {"existingClaim": "old", "size": "1Gi"}, "config": {"history": {"size": "5GB"}}}
    said = refusal(merged(values_of("minimal"), claim))
    assert "config.history.size is 5GB and history.size, its volume's, 1Gi" in said
