"""A watch as table, JSON, lines, board and page: what a reader is told, on every width, whatever strangers wrote."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from html.parser import HTMLParser

import pytest
from rich.console import Console

from probe.model import (
    Cadence,
    Edge,
    Ending,
    EndpointName,
    Gap,
    GapKind,
    Moved,
    Service,
    Span,
    UnderWay,
    Verdict,
    Wanted,
    Watched,
)
from probe.report import watched_html, watched_json, watched_table
from probe.report.board import Lines, board, strip_of
from probe.report.watched_words import (
    Times,
    blinds,
    cadence,
    clients,
    ends,
    length,
    limited,
    refusal,
    runs,
    ways_on,
    when,
)
from tests.watched import IMAPS, NODE, VIP, drained, endpoint, gap, judgement, sample, watched

TIMES = Times(UTC)
HOSTILE = "</style><script>alert(1)</script>\x1b[31m\u202e"


def printed(seen: Watched, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    watched_table.render(seen, console, TIMES)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_tells_when_who_and_how_long() -> None:
    told = printed(drained())
    for part in (
        "✗ masked by node",
        "preserved (192.168.1.10) → masked by node (10.0.20.102)",
        "12.0 s ± 0.2",
        "went (UTC)  came back (UTC)",
        "00:17:18.0",
        "no connection: silent_drop",
        "vip: all 2 endpoints together, if for one reason: 12.00 s ± 0.15",
        "Cause: 10.0.20.202 is announced by node1, which has no local endpoint; the pod runs on node2.",
        "10.0.20.202 announced by node2 since 00:17:30.0 (± 0.5 s)",
        "node1 has no local endpoint since 00:17:18.0",
        "2 endpoints: 600 knocks, one each 0.2 s at each, none counted by the server",
        "12 from cluster nodes' addresses, 49 from other addresses (8 this machine's, 41 public)",
        "1970-01-01 00:16:40 UTC at lan-probe",
    ):
        assert part in told, (part, told)
    assert told.rstrip().splitlines()[-1].startswith("CRITICAL: out as the watch ended: vip/smtp masked by node")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_table_wraps(width: int) -> None:
    told = printed(drained(), width)
    assert max(map(len, told.splitlines())) <= width
    assert "CRITICAL" in told


@pytest.mark.parametrize("width", [30, 40, 69, 80])
def test_no_width_costs_a_time_a_verdict_or_an_address(width: int) -> None:
    long = EndpointName("a-path-with-a-long-name", Service.SUBMISSIONS, 11465)
    before = gap(1000.0, 1012.0, endpoint=long)
    began = replace(before, began=replace(before.began, after=None))
    told = printed(watched(*drained().endpoints, endpoint(long, gaps=(began, gap(1080.0, None, endpoint=long)))), width)
    words = " ".join(told.split())
    for part in (
        "went 00:17:18.0, came back 00:17:30.0 (UTC)" if width < 69 else "00:17:18.0",
        "before 00:16:40.1",
        "at least 11.8 s",
        "✗ masked by node",
        "silent_drop",
    ):
        assert part in words, (part, told)
    assert words.count("192.168.1.10)") >= 3
    assert words.count("10.0.20.102)") >= 1
    assert "…" not in told


def test_times_are_of_the_vantage_s_zone_and_follow_its_clock() -> None:
    east = Times(timezone(timedelta(hours=5, minutes=30)), shift=3600.0)
    assert (east.clock(0.06), east.clock(59.96), east.clock(0.123, 2)) == ("06:30:00.1", "06:31:00.0", "06:30:00.12")
    assert (east.day(0.0), east.stamp(0.0)) == ("1970-01-01 06:30:00 +05:30", "06:30:00.0 +05:30")


def test_lengths_and_edges_in_words() -> None:
    lasting, before = gap(1010.0, None), gap(1000.0, 1012.0)
    assert length(lasting) == "at least 4.9 s, lasting"
    began = replace(before, began=replace(before.began, after=None))
    assert (when(began.began, TIMES), length(began)) == ("before 00:16:40.1", "at least 11.8 s")


def test_a_cadence_says_how_often_and_why_no_oftener() -> None:
    slow = Cadence(asked=0.2, longest=20.0, sent=1204, answered=1200, lost=4, counted=12, why="because")
    told = cadence(endpoint(cadence=slow))
    assert told == "1,204 knocks, one each up to 20 s, 12 counted by the server; 4 lost one by one (because)"
    assert "no knock" in cadence(endpoint(cadence=Cadence(asked=0.2)))


def test_who_is_refused_hears_how_to_watch_the_rest() -> None:
    broken = endpoint(baseline=sample(1000.0, Verdict.REFUSED))
    others = [endpoint(EndpointName(path, Service.SMTP, 25)) for path in ("a b", "haproxy", "nodeport", "other")]
    all_the_same = "or watch it all the same with --from-broken"
    assert ways_on(watched(broken, endpoint(IMAPS))) == f"mend it first, {all_the_same}"
    named = "--path 'a b' --path haproxy --path nodeport"
    assert ways_on(watched(broken, *others[:3])) == f"mend it first, leave it out ({named}), {all_the_same}"
    assert f"({named} …)" in ways_on(watched(broken, *others))


def test_who_met_a_rate_limit_first_hears_what_is_waited_for_and_then_what_to_do() -> None:
    met = sample(1000.0, Verdict.RATE_LIMITED)
    waits = watched(endpoint(samples=(met,), baseline=None, next_session=1060.0), began=None)
    told = limited(waits, TIMES)
    assert told is not None
    assert told.startswith(f"the baseline is tried again at {TIMES.clock(1060.0)}, for vip/smtp met a rate limit")
    stream = io.StringIO()
    Lines(stream, TIMES).show(waits)
    assert told in stream.getvalue()
    assert limited(replace(waits, endpoints=(endpoint(samples=(), baseline=None),)), TIMES) is None
    refused = refusal(watched(endpoint(samples=(met,), baseline=met), began=None, ending=Ending.BASELINE))
    assert "mend" not in refused
    assert "--from-broken" not in refused
    assert "vip/smtp; most likely by this machine's own sessions. Nothing was touched. Wait a minute" in refused


def test_sessions_alike_are_one_run() -> None:
    told = runs(drained().endpoints[0])
    assert [(run.first.verdict, run.count) for run in told] == [(Verdict.PRESERVED, 2), (Verdict.MASKED, 2)]


def test_json_has_every_edge_with_its_bounds() -> None:
    told = json.loads(watched_json.render(drained(), shift=10.0))
    smtp = told["endpoints"][0]
    first, second = smtp["outages"]
    assert (told["schema"], told["status"], told["exit_code"], told["rule"]) == (1, "critical", 2, "outage-lasts")
    assert first["began"] == {
        "at": "1970-01-01T00:17:28.000Z",
        "after": "1970-01-01T00:17:27.900Z",
        "by": "1970-01-01T00:17:28.100Z",
    }
    assert (first["kind"], first["seconds"], first["bound"], first["verdict"]) == (
        "unreachable",
        12.0,
        0.2,
        "silent_drop",
    )
    assert (second["kind"], second["ended"], second["masked_by"]) == ("critical", None, "node")
    assert [one["in_outage"] for one in smtp["sessions"]] == [False, False, True, False, False]
    assert told["announcers"][1]["since"]["after"] == "1970-01-01T00:17:39.500Z"


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"private": 16}, "16 from other addresses (all private)"),
        ({"pod": 3, "private": 0}, "3 from pods' addresses"),
    ],
)
def test_clients_are_told_by_the_words_of_the_metric(seen: dict[str, int], told: str) -> None:
    assert clients(watched(clients=seen)) == f"clients, this machine's sessions among them: {told}"


def test_lines_tell_each_thing_once() -> None:
    stream = io.StringIO()
    lines = Lines(stream, TIMES)
    for seen in (watched(began=None, ending=None), watched(ending=None), drained(ending=None)):
        lines.show(seen)
        lines.show(seen)
    told = stream.getvalue().splitlines()
    assert len(told) == len(set(told))
    assert sum("the baseline is there" in line for line in told) == 1
    assert "00:17:18.1 UTC vip/smtp went between 00:17:17.9 and 00:17:18.1: silent_drop" in told
    assert "00:17:18.1 UTC vip/imaps went between 00:17:18.0 and 00:17:18.1: no answer" in told, "the tables' word"
    assert "00:17:30.1 UTC vip/smtp came back 00:17:30.0 after 12.0 s ± 0.2 (no connection: silent_drop)" in told


def test_who_was_masked_and_then_goes_is_not_told_to_be_back() -> None:
    out = gap(1038.0, 1050.0)
    masked = replace(out, kind=GapKind.CRITICAL, how=("masked",), began=Edge(1000.0, 1015.0), seen=1030.0)
    masked = replace(masked, ended=Edge(1030.0, out.began.by), judgement=judgement(Verdict.MASKED))
    stream, seen = io.StringIO(), watched(endpoint(gaps=(masked, out)), ending=None)
    Lines(stream, TIMES).show(seen)
    assert "vip/smtp: no answer from 00:17:18.1 on, after 26.5 s ± 11.5 (masked by node)" in stream.getvalue()
    assert "not critical any more" not in stream.getvalue()
    for told in (printed(seen), printed(seen, 30), watched_html.render(seen, TIMES)):
        words = " ".join(told.split())
        assert "00:17:18.0, then no answer" in words, "when the drop went, as its own row says"
        assert "came back 00:17:14" not in words


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 300])
@pytest.mark.parametrize("height", [3, 24])
def test_a_board_fits(width: int, height: int) -> None:
    many = [endpoint(replace(IMAPS, port=port)) for port in range(1000, 1040)]
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(board(drained(ending=None, wanted=Wanted(until_stable=60, max_outage=5)), width, height))
    console.print(board(watched(*many, *drained().endpoints), width, height))
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert max(map(len, told.splitlines())) <= width
    assert "more, not worse than these" in told or width == 20
    assert told.count("\n") <= 2 * (height + 6)


@pytest.mark.parametrize("more", [0, 11000], ids=["default-ports", "own-ports"])
@pytest.mark.parametrize("width", [32, 40, 50, 60])
def test_a_narrow_board_tells_names_apart_and_keeps_the_state(width: int, more: int) -> None:
    services = (Service.SUBMISSION, Service.SUBMISSIONS)
    names = [EndpointName("local", one, one.default_port + more) for one in services]
    silent = [endpoint(name, gaps=(gap(100.0, None, endpoint=name, how=("silent_drop",)),)) for name in names]
    console = Console(file=io.StringIO(), width=width, height=24, color_system=None)
    console.print(board(watched(*silent), width, 24))
    assert isinstance(console.file, io.StringIO)
    rows = [line.split() for line in console.file.getvalue().splitlines() if "✗" in line]
    assert len({row[0] for row in rows}) == 2, rows
    assert all(row[1:5] == ["✗", "silent_drop", "989.9", "s"] for row in rows), rows
    if width >= 40 and not more:
        assert [row[0] for row in rows] == [str(name) for name in names]


REFUSED = gap(1020.0, 1045.0, how=("refused",))
MUTE = replace(
    REFUSED, kind=GapKind.CRITICAL, how=("no_greeting",), began=REFUSED.ended or REFUSED.began, seen=1050.5, ended=None
)
TURNED = gap(1020.0, 1047.0, kind=GapKind.TURNED_AWAY, how=("service_error",))


@pytest.mark.parametrize(
    ("gaps", "clock", "figure"),
    [
        ((REFUSED, MUTE), "✗ no_greeting 30.9 s", "at least 30.4 s and lasting"),
        ((REFUSED, replace(MUTE, began=Edge(1044.9, 1048.0))), "✗ no_greeting 3.0 s", "at least 24.8 s and lasting"),
        ((gap(1005.0, 1007.0), TURNED), "✓ preserved", "2.0 s ± 0.2"),
        ((TURNED,), "✓ preserved", "27.0 s ± 0.2"),
        ((), "✓ preserved", "no outage"),
    ],
    ids=["changed", "perhaps-two", "outage-before-what-is-none", "none", "well"],
)
def test_the_figure_beside_a_strip_is_of_a_whole_outage(gaps: tuple[Gap, ...], clock: str, figure: str) -> None:
    """As --max-outage counts it: who looks at the clock decides by it."""
    seen = watched(endpoint(gaps=gaps), ending=None, until=1051.0)
    console = Console(file=io.StringIO(), width=80, height=24, color_system=None)
    console.print(board(seen, 80, 24))
    assert isinstance(console.file, io.StringIO)
    assert f"vip/smtp {clock} ▁" in " ".join(console.file.getvalue().split())
    assert Page(watched_html.render(seen, TIMES)).figures[0] == figure


class Page(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.bars: list[tuple[str, float, float]] = []
        self.figures: list[str] = []
        self._is_figure = False
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        self.links += [told[key] or "" for key in ("href", "src") if key in told]
        self.labels += [told["aria-label"] or ""] if tag == "svg" else []
        self._is_figure = told.get("class") == "out"
        if tag == "rect":
            self.bars.append((told["class"] or "", float(told["x"] or 0), float(told["width"] or 0)))

    def handle_data(self, data: str) -> None:
        self.text += data
        self.figures += [data] if self._is_figure else []


def test_the_page_is_whole_by_itself_and_says_everything_in_words() -> None:
    page = Page(watched_html.render(drained(), TIMES))
    assert "script" not in page.tags
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    for part in (
        "✗ critical",
        "Out as the watch ended: vip/smtp masked by node.",
        "between 00:17:17.9 and 00:17:18.1",
        "12.00 s ± 0.15 s",
        "which has no local endpoint; the pod runs on node2.",
        "preserved (192.168.1.10)",
        "All times are UTC.",
    ):
        assert part in page.text, part
    assert page.labels[0].startswith(
        "vip/smtp: no connection: silent_drop from 00:17:18.0 to 00:17:30.0, 12.0 s ± 0.2;"
    )
    assert "Sessions: preserved (192.168.1.10) in 2, then masked by node (10.0.20.102) in 2." in page.labels[0]
    assert len(page.labels) == 4, "the whole watch, and a close-up"


def test_where_nobody_has_knocked_yet_nothing_is_drawn_as_answered() -> None:
    silent = gap(1030.0, None, unseen=(Span(1031.0, 1034.0),))
    dead = endpoint(gaps=(replace(silent, began=replace(silent.began, after=None)),), knocked_since=1030.1)
    late = endpoint(IMAPS, knocked_since=1045.0)
    page = Page(watched_html.render(watched(dead, late), TIMES))
    assert [bar for bar in page.bars if bar[0] in ("fine", "gap", "unsure")] == [
        ("fine", 334.44, 665.56),
        ("unsure", 344.44, 33.34),
        ("gap", 334.44, 10.0),
        ("gap", 377.78, 622.22),
        ("fine", 500.0, 500.0),
    ]
    refused = watched(endpoint(samples=(), knocked_since=None), began=None, ending=Ending.BASELINE)
    assert "fine" not in [name for name, *_ in Page(watched_html.render(refused, TIMES)).bars]
    console = Console(file=io.StringIO(), width=120, height=24, color_system=None)
    console.print(board(refused, 120, 24))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("▁") == 1, "in the legend"


def test_what_is_to_be_typed_is_marked_as_such() -> None:
    words = judgement(Verdict.SILENT_DROP, hint="Compare (`kubectl get pods`) <with> it.")
    html = watched_html.render(watched(endpoint(gaps=(gap(1010.0, 1012.0, judgement=words),))), TIMES)
    assert "Next: Compare (<code>kubectl get pods</code>) &lt;with&gt; it." in html


@pytest.mark.parametrize(
    "seen",
    [
        watched(),
        watched(began=None, ending=Ending.BASELINE),
        watched(endpoint(samples=(), baseline=None, gaps=(gap(1000.0, None),), blind=(Span(1001.0, 1009.0),))),
        Watched(vantage="v", wanted=Wanted(), started=5.0, until=5.0),
        watched(endpoint(gaps=tuple(gap(1000 + n, 1000.5 + n) for n in range(150)), untold=3)),
    ],
    ids=["well", "refused", "out", "nothing", "many"],
)
def test_every_watch_can_be_told(seen: Watched) -> None:
    page = Page(watched_html.render(seen, TIMES))
    assert page.tags.count("h1") == 1
    assert json.loads(watched_json.render(seen))["vantage"] == seen.vantage
    assert printed(seen)
    listed = page.text.count("no connection: no answer")
    assert listed <= 100 + 4
    assert ("53 more outages" in page.text) == (listed > 90)


def test_texts_of_strangers_stay_texts() -> None:
    words = judgement(Verdict.MASKED, explanation=HOSTILE, cause=HOSTILE, hint=HOSTILE)
    hostile = endpoint(gaps=(gap(1010.0, 1012.0, judgement=words),), samples=(sample(1000.0, judgement=words),))
    seen = replace(watched(hostile), vantage=HOSTILE)
    html = watched_html.render(seen, TIMES)
    assert "<script" not in html
    assert not re.search("[\x1b\u202e]", html)
    assert "\x1b" not in printed(seen)


def test_what_the_end_waits_for_is_told() -> None:
    wanted = Wanted(until_stable=20.0, process=7)
    seen = watched(ending=None, wanted=wanted)
    assert ends(seen) == "ends 20 s after process 7, if all are ok"
    over = replace(seen, change_over=1080.0)
    assert ends(over) == "ok for 10 of 20 s", "since the change is over"
    last = endpoint(samples=(sample(1000.0),), next_session=1102.0)
    waiting = watched(last, ending=None, wanted=Wanted(until_stable=20.0))
    told = "1 last session due in 12 s; ok for 20 s"
    assert ends(waiting) == told
    stream = io.StringIO()
    lines = Lines(stream, TIMES)
    for one in (over, waiting, replace(waiting, until=1091.0)):
        lines.show(one)
    assert stream.getvalue().count("last session") == 1
    assert f"{told}; it ends by 00:22:01.0 whatever they show\n" in stream.getvalue()
    assert "process 7 has ended: from now on --until-stable counts" in stream.getvalue()


def test_what_the_end_does_not_wait_for_any_more_is_taken_back_and_the_end_that_comes_is_told() -> None:
    """A minute after somebody last went or came back: amid a drain it would be one line for each turn."""
    last = endpoint(samples=(sample(1000.0),))
    bad = replace(last, samples=(sample(1000.0), sample(1091.0, Verdict.SERVICE_ERROR)), good_since=None)
    seen = [watched(last, ending=None, wanted=Wanted(until_stable=20.0))]
    seen += [watched(bad, ending=None, wanted=seen[0].wanted, until=until) for until in (1092.0, 1093.0)]
    stream = io.StringIO()
    lines = Lines(stream, TIMES)
    for one in seen:
        lines.show(one)
    told = stream.getvalue()
    assert told.count("not all are ok any more: --until-stable counts anew") == 1
    assert told.count("if that stays so, it ends at 00:21:41.0") == 1
    assert ends(seen[-1]) == "ok for 0 of 20 s; gives up in 208 s"
    early = watched(bad, ending=None, wanted=seen[0].wanted, until=1060.0)
    assert ends(early) == "ok for 0 of 20 s"


def test_forty_columns_keep_the_seconds() -> None:
    waiting = UnderWay(opened=1071.0)
    names = [EndpointName("vip", service, 20_000 + number) for number, service in enumerate(Service)]
    hung = [endpoint(name, under_way=waiting) for name in names]
    seen = watched(*hung, ending=None, wanted=Wanted(until_stable=20.0, max_outage=30.0))
    console = Console(file=io.StringIO(), width=40, height=24, color_system=None)
    console.print(board(seen, 40, 24))
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert told.count("? waits 19 s") == 4, told
    assert "4 last sessions waiting for 19 s" in told
    assert "fails past 30 s out" in told


def test_a_name_that_means_another_address_is_told_everywhere() -> None:
    move = Moved(host="mx.example.org", edge=Edge(1010.0, 1020.0), before=VIP, after=NODE)
    seen = watched(moves=(move,))
    told = "mx.example.org means 10.0.20.102 since 00:16:55.0 (± 5.0 s), before that 10.0.20.202"
    assert told in printed(seen)
    assert told in watched_html.render(seen, TIMES)
    stream = io.StringIO()
    Lines(stream, TIMES).show(seen)
    assert told in stream.getvalue()
    (one,) = json.loads(watched_json.render(seen))["moves"]
    assert (one["host"], one["before"], one["after"]) == ("mx.example.org", "10.0.20.202", "10.0.20.102")


def test_when_nobody_knocked_is_told_everywhere() -> None:
    """A machine that slept, and an endpoint that could not be knocked at."""
    slept = Span(1010.0, 1018.2)
    seen = watched(endpoint(blind=(slept,)), endpoint(IMAPS, blind=(slept, Span(1040.0, 1043.0))))
    told = (
        "nobody knocked at 2 endpoints from 00:16:50.0 to 00:16:58.2 (8.2 s): an outage may hide there",
        "nobody knocked at vip/imaps from 00:17:20.0 to 00:17:23.0 (3.0 s): an outage may hide there",
    )
    assert blinds(seen, TIMES) == told
    stream = io.StringIO()
    Lines(stream, TIMES).show(seen)
    for place in (printed(seen), Page(watched_html.render(seen, TIMES)).text, stream.getvalue()):
        assert all(line in place for line in told), place


def test_a_session_that_was_served_late_is_told_with_the_time_that_it_waited() -> None:
    """Since when its server hung is not known: by when it did, and for how long at least."""
    began, back = Edge(1000.0, 1020.0), Edge(1046.0, 1047.0)
    waited = gap(1020.0, 1047.0, kind=GapKind.WAITED, how=("waited",), seen=1046.0)
    seen = watched(endpoint(gaps=(replace(waited, began=began, ended=back),)), wanted=Wanted(max_outage=10.0))
    told = printed(seen)
    assert re.search(r"by 00:17:00.0 +00:17:26.5 +at least 26.5 s +served late", told), told
    assert told.rstrip().endswith("vip/smtp was served, but waited for at least 26.5 s until its server answered")
    (outage,) = json.loads(watched_json.render(seen))["endpoints"][0]["outages"]
    assert (outage["kind"], outage["how"], outage["seconds"], outage["bound"]) == ("waited", ["waited"], 26.5, 20.5)
    assert "at least 26.5 s" in watched_html.render(seen, TIMES)


def test_a_stretch_of_sessions_that_were_turned_away_is_told_everywhere_and_is_no_outage() -> None:
    samples = (sample(1000.0), sample(1020.1, Verdict.SERVICE_ERROR), sample(1047.1))
    seen = watched(endpoint(gaps=(TURNED,), samples=samples), wanted=Wanted(max_outage=10.0))
    told = printed(seen)
    assert re.search(r"smtp +✓ preserved +0 +- ", told), told
    assert re.search(r"00:17:00.0 +00:17:27.0 +27.0 s ± 0.2 +turned away: service_error", told), told
    assert told.rstrip().endswith("vip/smtp turned clients away for 27.0 s ± 0.2 (service_error)")
    as_json = json.loads(watched_json.render(seen))
    assert (as_json["rule"], as_json["exit_code"], as_json["endpoints"][0]["seconds_out"]) == ("turned-away", 1, 0)
    (outage,) = as_json["endpoints"][0]["outages"]
    assert (outage["kind"], outage["how"]) == ("turned_away", ["service_error"])
    page = Page(watched_html.render(seen, TIMES))
    assert page.labels[0].startswith("vip/smtp: turned away: service_error from 00:17:00.0 to 00:17:27.0")
    assert strip_of(seen, seen.endpoints[0], 9).plain == "▁▁▅▅▅▁▁▁▁"
    stream = io.StringIO()
    Lines(stream, TIMES).show(seen)
    lines = stream.getvalue()
    assert "vip/smtp has turned sessions away since between 00:16:59.9 and 00:17:00.1: service_error" in lines
    assert "vip/smtp turns no session away any more, between 00:17:26.9 and 00:17:27.1" in lines
