"""A lab of real mail servers in network namespaces: see lab.py for its use and scenarios.py for what it can show."""

from tests.lab.generations import Generation, Unusable, find_all, usable
from tests.lab.lab import Case, Lab
from tests.lab.namespaces import reap
from tests.lab.scenario import Expectation, Scenario
from tests.lab.scenarios import SCENARIOS
from tests.lab.servers import Choices

__all__ = [
    "SCENARIOS",
    "Case",
    "Choices",
    "Expectation",
    "Generation",
    "Lab",
    "Scenario",
    "Unusable",
    "find_all",
    "reap",
    "usable",
]
