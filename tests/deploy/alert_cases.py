"""Every story of the alerts, in parts that are played side by side."""

from __future__ import annotations

from tests.deploy.stories_of_certificates import CERTIFICATES
from tests.deploy.stories_of_faults import QUORUM, SLOW, VERDICTS
from tests.deploy.stories_of_ports import PORTS
from tests.deploy.stories_of_scrapes import RARE, SCRAPES
from tests.deploy.stories_of_targets import TARGETS
from tests.deploy.stories_of_vantages import HOURS, ITSELF
from tests.deploy.stories_of_watching import EVIDENCE, GOING, NOISE

PARTS = {
    "verdicts": (VERDICTS, 10),
    "quorum": (QUORUM, 30),
    "noise": (NOISE, 10),
    "scrapes": (SCRAPES, 10),
    "slow": ((*SLOW, *RARE, *GOING), 30),
    "evidence": ((*EVIDENCE, *CERTIFICATES), 30),
    "targets": ((*TARGETS, *PORTS), 30),
    "itself": (ITSELF, 30),
    "hours": (HOURS, 60),
}
"""Stories, and seconds between evaluations: each time all rules are evaluated, and that is what takes long."""

CASES = tuple(case for cases, _ in PARTS.values() for case in cases)
