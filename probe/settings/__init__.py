"""The configuration room: a YAML file in, frozen Settings out, or every fault at once.

    find_config ──▶ load ──▶ Settings (parts.py, paths.py, evidence.py: every key; values.py: how it is written)
                      └────▶ ConfigurationError (faults.py: what was found, what was expected)

targets.py gives the settings in the model's words. document.py reads YAML, checks.py compares values with each other,
schema.py serves editors.
"""

from probe.settings.evidence import FileSource, JournaldSource, KubernetesSource, SyslogSource
from probe.settings.faults import (
    ConfigurationError,
    ConfigurationFault,
    ConfigurationNotFound,
    ConfigurationWarning,
)
from probe.settings.loading import find_config, load
from probe.settings.loki import LokiAccess, LokiSink, LokiSource
from probe.settings.parts import HistorySettings, KubernetesService, Settings
from probe.settings.paths import EndpointSettings, PathSettings
from probe.settings.schema import schema
from probe.settings.targets import targets, timeouts

__all__ = [
    "ConfigurationError",
    "ConfigurationFault",
    "ConfigurationNotFound",
    "ConfigurationWarning",
    "EndpointSettings",
    "FileSource",
    "HistorySettings",
    "JournaldSource",
    "KubernetesService",
    "KubernetesSource",
    "LokiAccess",
    "LokiSink",
    "LokiSource",
    "PathSettings",
    "Settings",
    "SyslogSource",
    "find_config",
    "load",
    "pace",
    "schema",
    "targets",
    "timeouts",
]
