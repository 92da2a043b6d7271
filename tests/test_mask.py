"""No credential in what is shown of a server's words, whatever form it has there."""

from __future__ import annotations

import doctest
import html
import json
from base64 import b64encode
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from probe.model import mask
from probe.model.mask import without_credentials
from probe.model.written import Expanded, unexpanded

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


def test_many_backslashes_take_no_longer_than_many_letters() -> None:
    """A choice at each would take a lifetime."""
    said = without_credentials("\\" * 5_000 + "!", "Bearer " + "\\" * 60 + "x")
    assert said == "\\" * 5_000 + "!"


PIECES = st.sampled_from([*"aZ9._~-/+=%&?<>'\"\\ äß€", "%2B", "%2f", "%41", "%C3%A4", "%25", "%FF"])


@given(st.lists(PIECES, min_size=6, max_size=30).map("".join))
def test_what_a_variable_put_into_a_url_is_known_in_every_form(held: str) -> None:
    url = Expanded(f"http://loki/{held}/push", "http://loki/${SEGMENT}/push", [(held, "${SEGMENT}")])
    forms = [held, quote(held, safe=""), quote(held), quote_plus(held), unquote(held, errors="surrogateescape")]
    forms += [json.dumps(one)[1:-1] for one in forms] + [html.escape(one) for one in forms]
    for form in forms:
        assert unexpanded(f"no route to /{form}!", url) == "no route to /${SEGMENT}!"


@pytest.mark.parametrize("held", ['s3cr3t/Seg+Xyz=9%41ä"q', "c2VjcmV0LWtleQ%2B%2fab%3D%3D", "50% of it"])
def test_what_is_asked_for_is_known_as_the_client_library_writes_it(held: str) -> None:
    asked = URL(f"http://loki/{held}/push")
    url = Expanded(f"http://loki/{held}/push", "http://loki/${SEGMENT}/push", [(held, "${SEGMENT}")])
    for said in (str(asked), asked.raw_path, asked.path, asked.human_repr()):
        assert "${SEGMENT}/push" in unexpanded(f"404 for {said}", url)
