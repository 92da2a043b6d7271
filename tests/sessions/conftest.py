"""Peers of one test, and certificates of the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sessions.peers import Certificates, Town


@pytest.fixture(scope="session", autouse=True)
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(str(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def town() -> Iterator[Town]:
    with Town() as opened:
        yield opened
