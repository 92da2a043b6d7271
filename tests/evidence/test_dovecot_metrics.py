"""Pages of metrics: real ones with what must be read from them, and hostile ones that must tell nothing wrong.

metrics/dovecot-*.txt are pages of the lab's own Dovecots, each after two logins over imaps, one with a wrong password
and one over submissions; the rows of metrics/dovecot_exporter-*.txt are what a Dovecot 2.3.19 with its old statistics
exported after the same, written out in dovecot_exporter's form.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.dovecot_metrics import (
    KNOWN,
    MOST_SERIES,
    NO_LABELS,
    NoCounter,
    Reading,
    login_counter,
    selector,
)

PAGES = Path(__file__).parent / "metrics"
PREFIX = b"# TYPE dovecot_auth_success counter\n"


def page(name: str) -> bytes:
    return (PAGES / f"{name}.txt").read_bytes()


def read(text: bytes, wanted: str | None = None) -> Reading:
    found = login_counter(text, selector(wanted) if wanted else None)
    assert isinstance(found, Reading), found
    return found


def reason(text: bytes, wanted: str | None = None) -> str:
    found = login_counter(text, selector(wanted) if wanted else None)
    assert isinstance(found, NoCounter), found
    return found.reason


@pytest.mark.parametrize(
    ("name", "wanted", "counter", "count"),
    [
        ("dovecot-2.3.19", None, "dovecot_auth_success_total", 3),
        ("dovecot-2.4.1", None, "dovecot_auth_successes_total", 3),
        ("dovecot_exporter-global", None, "dovecot_global_num_logins", 2),
        ("dovecot_exporter-global-auth_stats", None, "dovecot_global_num_logins", 2),
        ("dovecot_exporter-user", None, "dovecot_user_num_logins", 2),
        # told: the metric's name as in dovecot.conf, with and without what Dovecot makes of it
        ("dovecot-2.3.19", "dovecot_auth_success", "dovecot_auth_success_total", 3),
        ("dovecot-2.4.1", "dovecot_mail_user_session_finished", "dovecot_mail_user_session_finished_total", 2),
        ("dovecot_exporter-global-auth_stats", "dovecot_global_auth_successes", "dovecot_global_auth_successes", 3),
        # grouped: every level is on the page, and the sum of all beside them
        ("dovecot-2.3.19", "dovecot_auth_by_user", "dovecot_auth_by_user_count", 4),
        ("dovecot-2.3.19", "dovecot_auth_by_user_total", "dovecot_auth_by_user_count", 4),
        (
            "dovecot-2.3.19",
            'dovecot_auth_by_user_total{success="yes"}',
            'dovecot_auth_by_user_total{success="yes"}',
            3,
        ),
        (
            "dovecot-2.4.1",
            'dovecot_auth_by_user_total{user="probe@lab.test"}',
            'dovecot_auth_by_user_total{user="probe@lab.test"}',
            4,
        ),
        ("dovecot-2.4.1", 'dovecot_session_by{service="imap"}', 'dovecot_session_by_total{service="imap"}', 2),
        ("dovecot-2.4.1", 'dovecot_imap_times{cmd_name="LOGOUT"}', 'dovecot_imap_times_count{cmd_name="LOGOUT"}', 2),
    ],
)
def test_real_pages(name: str, wanted: str | None, counter: str, count: float) -> None:
    reading = read(page(name), wanted)
    assert (str(reading.counter), reading.count) == (counter, count)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("dovecot-2.3.19", 1795463860),
        ("dovecot_exporter-global", 1795463912),
        ("dovecot_exporter-user", None),
    ],
)
def test_since_when_is_the_server_s_word_not_the_exporter_s(name: str, since: float | None) -> None:
    assert read(page(name)).since == since


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_counter_is_found(name: str) -> None:
    assert str(read(f"{name} 5\n".encode()).counter) == name


def test_the_most_telling_counter_wins() -> None:
    assert str(read(b"".join(b"%b 5\n" % name.encode() for name in reversed(KNOWN))).counter) == KNOWN[0]


def test_a_counter_that_never_counted_comes_last() -> None:
    text = b'dovecot_auth_success_total 0\ndovecot_global_auth_successes 0\ndovecot_user_auth_successes{user="a"} 7\n'
    assert str(read(text).counter) == "dovecot_user_auth_successes"
    assert str(read(text[: text.index(b"dovecot_user")]).counter) == "dovecot_auth_success_total"


@pytest.mark.parametrize(
    ("sample", "count"),
    [
        (b"dovecot_auth_success_total 892", 892),
        (b"dovecot_auth_success_total 1.7149e+04", 17149),
        (b"dovecot_auth_success_total\t7.0 ", 7),
        (b"dovecot_auth_success_total 7\r", 7),
        (b"dovecot_auth_success_total 7 1606393397", 7),
        (b'dovecot_auth_success_total 7 1606393397.25 # {trace="x"} 1.0', 7),
        (b"dovecot_auth_success_total{} 7", 7),
        (b'dovecot_auth_success_total{user="a"} 3\ndovecot_auth_success_total{user="b"} 4', 7),
        (b'dovecot_auth_success_total{user="a } \\"b\\", c=\\\\"} 7', 7),
        (b'dovecot_auth_success_total{user="a",success="yes"} 7\ndovecot_auth_success_total{user="a"} 9', 9),
        (b"dovecot_auth_success_count 7 1606393397", 7),
        # twice the same is once; another's, or a time, is none of ours
        (b"dovecot_auth_success_total 7\ndovecot_auth_success_total 7", 7),
        (b"dovecot_auth_success_total 7\ndovecot_auth_success_created 1606393397", 7),
        (b"dovecot_auth_success_duration_seconds_total 0.5\ndovecot_auth_success_total 7", 7),
        (b"dovecot_auth_success_total 7\ndovecot_auth_success_total{broken 8", 7),
    ],
)
def test_how_a_count_may_be_written(sample: bytes, count: float) -> None:
    assert read(PREFIX + sample + b"\n").count == count


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "the page is empty"),
        (b"<!DOCTYPE html>\n<html>503</html>\n", "no metrics on the page, it begins with '<!DOCTYPE html>'"),
        (b"\x00\xff\xfe" * 100, "no metrics on the page"),
        (b"go_goroutines 9\n", "no known counter of logins is on the page, which has go_goroutines"),
        (b"up 1\ndovecot_up 1\n", "no known counter of logins is on the page, which has dovecot_up"),
        *(
            (b"dovecot_auth_success_total %b\n" % number, "but no single number of logins")
            for number in (b"NaN", b"+Inf", b"-1", b"1e999", b"0x10", b"1_000", b"seven", b"\xd9\xa7")
        ),
        (b"dovecot_auth_success_total 7\ndovecot_auth_success_total 8\n", "but no single number of logins"),
        (b'dovecot_auth_success_total{a="1"} 7\ndovecot_auth_success_total{a="2"} NaN\n', "but no single number"),
        (b'dovecot_auth_success_total{a="1",a="2"} 7\n', "no known counter"),
        (b"dovecot_auth_success_total{%b} 7\n" % (b'a="%b"' % (b"x" * 9000)), "no known counter"),
        (b"dovecot_auth_success_total 7 8 9\n", "no known counter"),
        (b"dovecot_auth_success_total 7", "no known counter"),
    ],
)
def test_what_is_no_count(text: bytes, why: str) -> None:
    assert why in reason(text)


def test_a_counter_that_was_told_is_the_only_one_looked_for() -> None:
    text = page("dovecot-2.4.1")
    assert reason(text, "dovecot_logins").startswith("dovecot_logins is not on the page, which has dovecot_build_info")
    assert 'with the labels of dovecot_auth_by_user_total{user="x"}' in reason(
        text, 'dovecot_auth_by_user_total{user="x"}'
    )


@pytest.mark.parametrize("name", [file.stem for file in PAGES.glob("*.txt")])
def test_a_page_cut_anywhere_tells_the_same_or_nothing(name: str) -> None:
    """Half a number is another number."""
    whole = page(name)
    counts = {str(counter): read(whole, str(counter)).count for counter in KNOWN if name_on(whole, str(counter))}
    for end in range(len(whole)):
        cut = login_counter(whole[:end])
        assert isinstance(cut, NoCounter) or cut.count in (counts[str(cut.counter)], 0), whole[:end][-60:]


def name_on(text: bytes, name: str) -> bool:
    return b"\n" + name.encode() in text


@given(st.binary(max_size=400), st.sampled_from([None, "dovecot_x", 'x{a="b"}']))
def test_garbage_is_survived(garbage: bytes, wanted: str | None) -> None:
    for text in (garbage, PREFIX + garbage + b"\n", b"dovecot_auth_success_total" + garbage + b"\n"):
        found = login_counter(text, selector(wanted) if wanted else None)
        assert isinstance(found, NoCounter) or found.count >= 0


@pytest.mark.parametrize(
    "unit",
    [
        b"dovecot_auth_success_total",
        b'dovecot_auth_success_total{a="',
        b'dovecot_auth_success_total{a="b",' + b'a="b",' * 1300 + b"\n",
        b"dovecot_auth_success_total " + b" " * 8000 + b"\n",
        b"dovecot_auth_success_total 1" + b" 1" * 4000 + b"\n",
        b"dovecot_auth_success_total{" + b"\\" * 8000 + b"\n",
        b'dovecot_auth_success_total{u="%d"} 1\n',
        b"\n",
        b"a ",
    ],
    ids=lambda unit: repr(unit[:40]),
)
def test_four_megabytes_of_malice_are_read_in_seconds(unit: bytes) -> None:
    text = unit * ((4 << 20) // len(unit))
    began = time.process_time()
    login_counter(text)
    assert time.process_time() - began < 3


def test_too_many_series_are_said() -> None:
    text = b"".join(b'dovecot_user_num_logins{user="%d"} 1\n' % number for number in range(MOST_SERIES + 1))
    assert "let the exporter tell global ones" in reason(text)


@pytest.mark.parametrize(
    ("before", "after", "growth"),
    [
        (b"dovecot_auth_success_total 7\n", b"dovecot_auth_success_total 9\n", 2),
        (b"dovecot_auth_success_total 7\n", b"dovecot_auth_success_total 7\n", 0),
        # the server restarted: the count fell, or began anew at another time and has already passed what it was
        (b"dovecot_auth_success_total 7\n", b"dovecot_auth_success_total 1\n", None),
        (
            b"dovecot_auth_success_total 7\nprocess_start_time_seconds 1\n",
            b"dovecot_auth_success_total 8\nprocess_start_time_seconds 2\n",
            None,
        ),
        (
            b"dovecot_global_num_logins 7\ndovecot_global_reset_timestamp 1.5e+09\n",
            b"dovecot_global_num_logins 8\ndovecot_global_reset_timestamp 1.6e+09\n",
            None,
        ),
        # users come and go
        (
            b'dovecot_user_num_logins{user="a"} 7\ndovecot_user_num_logins{user="b"} 2\n',
            b'dovecot_user_num_logins{user="b"} 3\ndovecot_user_num_logins{user="c"} 1\n',
            2,
        ),
        (b'dovecot_user_num_logins{user="a"} 7\n', b'dovecot_user_num_logins{user="a"} 1\n', None),
        (b"dovecot_auth_success_total 7\n", b"dovecot_global_num_logins 9\n", None),
    ],
)
def test_growth_between_two_pages(before: bytes, after: bytes, growth: float | None) -> None:
    assert read(after).grown_since(read(before)) == growth


@pytest.mark.parametrize("text", ["", "1x", "x{", "x{a}", 'x{a="b"', 'x{a="b"}}', 'x{a="b",a="c"}', "x y", "x\ny", "ü"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A"):
        selector(text)


def test_a_selector_is_written_as_it_is_read() -> None:
    assert str(selector(' x { b = "2\\"\\\\\\n" , a="1" } ')) == 'x{a="1",b="2\\"\\\\\\n"}'
    assert selector("x").labels == NO_LABELS
