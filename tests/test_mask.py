"""No credential in what is shown of a server's words, whatever form it has there."""

from __future__ import annotations

import doctest
import html
import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.model import mask
from probe.model.mask import without_credentials

TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)


def test_examples() -> None:
    assert doctest.testmod(mask).failed == 0


@given(TOKENS)
def test_a_token_is_known_in_every_quoting(token: str) -> None:
    for form in (token, json.dumps(token)[1:-1], html.escape(token), quote(token, safe="")):
        assert form not in without_credentials(f"before {form} after", f"Bearer {token}")


@given(TOKENS, TOKENS)
def test_neither_the_password_nor_its_base64_is_shown(username: str, password: str) -> None:
    pair = b64encode(f"{username.replace(':', '')}:{password}".encode()).decode()
    said = without_credentials(f"<{pair}> <{password}> <{pair.rstrip('=')}>", f"Basic {pair}")
    assert said == "<****> <****> <****>"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("access denied", "access denied"),
        ("Authorization: Bearer eyJhbGciOi", "Authorization: ****"),
        ("{'authorization': 'Basic dTpQ'}", "{'authorization': '****'}"),
        ('"Authorization":["Bearer eyJh"]', '"Authorization":["****"]'),
        ("bearer authentication is required", "bearer authentication is required"),
        ("authorization failed", "authorization failed"),
    ],
)
def test_a_header_that_was_cut_is_known_by_its_name(said: str, shown: str) -> None:
    assert without_credentials(said, "") == shown
