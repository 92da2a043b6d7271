"""Every story of the alerts."""

from __future__ import annotations

from tests.deploy.stories_of_faults import QUORUM, VERDICTS
from tests.deploy.stories_of_vantages import ITSELF
from tests.deploy.stories_of_watching import EVIDENCE, NOISE

CASES = (*VERDICTS, *QUORUM, *NOISE, *EVIDENCE, *ITSELF)
