"""The examples in docstrings are true. Every module is imported for it, so every module can be."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import probe

MODULES = [found.name for found in pkgutil.walk_packages(probe.__path__, "probe.") if found.name != "probe.__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
