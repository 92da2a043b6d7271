"""Metrics are a view of the station: every value where it belongs, nothing where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

import probe
from probe.evidence.health import LAG_BUCKETS, Heard
from probe.model import (
    Address,
    Announcer,
    Announcers,
    EndpointName,
    Failure,
    Known,
    MaskedBy,
    Networks,
    Node,
    Origin,
    Pace,
    Phase,
    PhaseTiming,
    Result,
    Round,
    Service,
    ServiceFacts,
    Severity,
    Topology,
    Verdict,
)
from probe.service.metrics import fill, probe_registry, snapshot_registry, station_registry
from probe.service.metrics.catalogue import METRICS
from probe.service.metrics.page import Page
from probe.service.station import Reload
from probe.verdict.served import SERVED, Served
from tests.builders import failed, result, unable
from tests.service.metrics.stand_in import IMAPS, SMTP, SMTP_TOO, Dial, StandIn, stand_in

VIP = {"path": "vip", "service": "smtp", "vantage": "lan-probe"}
FAULT = failed(Phase.CONNECT, Failure.REFUSED)
BY = {"masked": MaskedBy.NODE}
UNSERVED = [one.value for one in Verdict if one.severity is Severity.CRITICAL and SERVED[one] is Served.NO]


def samples(registry: CollectorRegistry, name: str) -> list[Sample]:
    return [sample for family in registry.collect() for sample in family.samples if sample.name == name]


def value(station: StandIn, name: str, **labels: str) -> float | None:
    """Of the vantage, and of vip/smtp if there are such labels in `labels`."""
    return station_registry(station).get_sample_value(name, {"vantage": "lan-probe", **labels})


def states(station: StandIn, name: str, label: str) -> dict[str, float]:
    told = samples(station_registry(station), name)
    assert len({sample.labels[label] for sample in told}) == len(told)
    return {sample.labels[label]: sample.value for sample in told}


def holding(station: StandIn, name: str, label: str) -> list[str]:
    return [state for state, on in states(station, name, label).items() if on]


@pytest.fixture
def station(tmp_path: Path) -> StandIn:
    return stand_in(tmp_path, [SMTP])


class TestVerdict:
    def test_the_set_is_whole_before_the_first_session(self, station: StandIn) -> None:
        assert states(station, "mailprobe_verdict", "verdict") == dict.fromkeys(map(str, Verdict), 0.0)
        assert states(station, "mailprobe_masked_by", "network") == dict.fromkeys(map(str, MaskedBy), 0.0)
        assert states(station, "mailprobe_sessions_total", "verdict") == dict.fromkeys(map(str, Verdict), 0.0)
        assert value(station, "mailprobe_outage_seconds_total", path="vip", service="smtp") == 0.0

    @pytest.mark.parametrize("verdict", Verdict)
    def test_one_holds_after_it(self, station: StandIn, verdict: Verdict) -> None:
        station.ledger.record(result(Verdict.REFUSED, opened=50.0))
        station.ledger.record(result(verdict))
        assert holding(station, "mailprobe_verdict", "verdict") == [verdict]
        assert len(states(station, "mailprobe_verdict", "verdict")) == len(Verdict)

    @staticmethod
    def restarted(folder: Path, verdict: Verdict, later: float) -> StandIn:
        """A process so many seconds after one that judged a session, with the next verdict due in 75 s."""
        endpoint, dial = replace(SMTP, pace=Pace(due=75.0, lapse=135.0)), Dial()
        earlier = stand_in(folder, [endpoint])
        earlier.ledger.record(result(verdict, opened=100.0, masked_by=MaskedBy.NODE))
        dial.monotonic = dial.wall = 100.0 + later
        return stand_in(folder, [endpoint], earlier.ledger.known, clock=dial.clock())

    @pytest.mark.parametrize(("verdict", "later"), [("preserved", 1.0), ("masked", 76.0), ("unverified", 1.0)])
    def test_what_was_is_not_told_as_what_is(self, tmp_path: Path, verdict: str, later: float) -> None:
        station = self.restarted(tmp_path, Verdict(verdict), later)
        assert states(station, "mailprobe_verdict", "verdict") == dict.fromkeys(map(str, Verdict), 0.0)
        assert holding(station, "mailprobe_masked_by", "network") == []
        assert samples(station_registry(station), "mailprobe_client_address_preserved") == []
        station.ledger.record(result(Verdict.PRESERVED))
        assert holding(station, "mailprobe_verdict", "verdict") == ["preserved"]

    def test_an_outage_that_was_seen_when_the_next_verdict_was_not_due_yet_stays_told(self, tmp_path: Path) -> None:
        station = self.restarted(tmp_path, Verdict.MASKED, 74.0)
        assert holding(station, "mailprobe_verdict", "verdict") == ["masked"]
        assert holding(station, "mailprobe_masked_by", "network") == ["node"]
        assert value(station, "mailprobe_client_address_preserved", **{"path": "vip", "service": "smtp"}) == 0.0
        assert not any(states(station, "mailprobe_sessions_total", "verdict").values())
        assert value(station, "mailprobe_up", path="vip", service="smtp") is None
        station.ledger.record(result(Verdict.PRESERVED, opened=180.0))
        assert holding(station, "mailprobe_verdict", "verdict") == ["preserved"]
        assert holding(station, "mailprobe_masked_by", "network") == []

    @pytest.mark.parametrize("network", MaskedBy)
    def test_whoever_masks_is_named(self, station: StandIn, network: MaskedBy) -> None:
        station.ledger.record(result(Verdict.MASKED, masked_by=network))
        assert holding(station, "mailprobe_masked_by", "network") == [network]


class TestWhatCouldNotBeOpened:
    def test_it_has_its_verdict_and_the_outage_is_counted_as_if_it_had_not_been(self, station: StandIn) -> None:
        seconds = []
        for opened in (100.0, 130.0):
            station.ledger.record(result(Verdict.REFUSED, opened=opened))
        station.ledger.record(unable(160.0))
        assert holding(station, "mailprobe_verdict", "verdict") == ["unverified"]
        assert value(station, "mailprobe_up", path="vip", service="smtp") == 0.0
        seconds.append(value(station, "mailprobe_outage_seconds_total", path="vip", service="smtp"))
        station.ledger.record(result(Verdict.REFUSED, opened=190.0))
        seconds.append(value(station, "mailprobe_outage_seconds_total", path="vip", service="smtp"))
        assert seconds == [30.0, 90.0]


class TestWhatWorked:
    @pytest.mark.parametrize("verdict", Verdict)
    def test_an_address_is_known_of_two_verdicts_only(self, station: StandIn, verdict: Verdict) -> None:
        station.ledger.record(result(verdict))
        known = {Verdict.PRESERVED: 1.0, Verdict.MASKED: 0.0}.get(verdict)
        assert value(station, "mailprobe_client_address_preserved", path="vip", service="smtp") == known

    def test_no_address_is_known_before_the_first_session(self, station: StandIn) -> None:
        assert samples(station_registry(station), "mailprobe_client_address_preserved") == []
        assert samples(station_registry(station), "mailprobe_up") == []
        assert samples(station_registry(station), "mailprobe_last_session_timestamp_seconds") == []

    @pytest.mark.parametrize("verdict", ["preserved", "masked", "unverified", "spoofable"])
    def test_up_is_a_session_that_worked_whatever_the_address(self, station: StandIn, verdict: str) -> None:
        station.ledger.record(result(Verdict(verdict)))
        assert value(station, "mailprobe_up", path="vip", service="smtp") == 1.0

    @pytest.mark.parametrize("verdict", ["refused", "masked", "unverified", "spoofable"])
    def test_a_session_with_a_fault_is_not_up_whatever_the_verdict(self, station: StandIn, verdict: str) -> None:
        station.ledger.record(result(Verdict(verdict), fault=FAULT))
        assert value(station, "mailprobe_up", path="vip", service="smtp") == 0.0

    def test_a_certificate_is_told_of_the_session_that_saw_it(self, station: StandIn) -> None:
        name = "mailprobe_tls_certificate_expiry_timestamp_seconds"
        station.ledger.record(result(certificate_expiry=2e9))
        assert value(station, name, path="vip", service="smtp") == 2e9
        station.ledger.record(result(Verdict.REFUSED))
        assert value(station, name, path="vip", service="smtp") is None


class TestCounts:
    def test_sessions_and_seconds_of_outage_add_up(self, station: StandIn) -> None:
        for opened, verdict in ((10.0, "refused"), (40.0, "refused"), (70.0, "preserved"), (100.0, "preserved")):
            station.ledger.record(result(Verdict(verdict), opened=opened))
        counted = states(station, "mailprobe_sessions_total", "verdict")
        assert {verdict: count for verdict, count in counted.items() if count} == {"refused": 2.0, "preserved": 2.0}
        assert value(station, "mailprobe_outage_seconds_total", path="vip", service="smtp") == 60.0

    def test_durations_are_cumulative_and_each_bucket_has_its_latest_session(self, station: StandIn) -> None:
        for identity, opened, seconds in (("a", 10.0, 0.3), ("b", 20.0, 0.4), ("c", 30.0, 100.0)):
            phases = (PhaseTiming(phase=Phase.CONNECT, seconds=seconds / 10),)
            station.ledger.record(result(id=identity, opened=opened, closed=opened + seconds, phases=phases))
        told = samples(station_registry(station), "mailprobe_session_duration_seconds_bucket")
        counts = {sample.labels["le"]: (sample.value, sample.exemplar) for sample in told}
        assert [counts[le][0] for le in ("0.25", "0.5", "60.0", "+Inf")] == [0.0, 2.0, 2.0, 3.0]
        assert {le: found.labels for le, (_, found) in counts.items() if found} == {
            "0.5": {"session_id": "b"},
            "+Inf": {"session_id": "c"},
        }
        assert value(station, "mailprobe_session_duration_seconds_count", path="vip", service="smtp") == 3.0
        total = value(station, "mailprobe_session_duration_seconds_sum", path="vip", service="smtp")
        assert total == pytest.approx(100.7)
        phase = value(station, "mailprobe_phase_duration_seconds_sum", path="vip", service="smtp", phase="connect")
        assert phase == pytest.approx(10.07)


class TestTimes:
    def test_moments_are_told_as_the_wall_clock_of_today_calls_them(self, tmp_path: Path) -> None:
        dial = Dial()
        heard = Heard(source="file:/log", up=True, lines=1, last_line_at=130.0)
        station = stand_in(tmp_path, [SMTP], clock=dial.clock(), sources=(heard,))
        station.ledger.record(result(opened=100.0, certificate_expiry=2e9))
        dial.wall = 3600.0  # the wall clock is set an hour forward
        assert value(station, "mailprobe_last_session_timestamp_seconds", path="vip", service="smtp") == 3700.0
        last = "mailprobe_evidence_last_line_timestamp_seconds"
        assert value(station, last, source="file:/log") == 3730.0
        told = samples(station_registry(station), "mailprobe_session_duration_seconds_bucket")
        assert [sample.exemplar.timestamp for sample in told if sample.exemplar] == [3701.0]
        expiry = "mailprobe_tls_certificate_expiry_timestamp_seconds"
        assert value(station, expiry, path="vip", service="smtp") == 2e9


class TestPortsOfOneService:
    """Two ports have the same labels, and a series may be told once."""

    @pytest.fixture
    def station(self, tmp_path: Path) -> StandIn:
        station = stand_in(tmp_path, [SMTP, SMTP_TOO])
        station.ledger.record(result(Verdict.PRESERVED, opened=100.0, certificate_expiry=3e9))
        changes = {"port": 2525, "opened": 130.0, "certificate_expiry": 2e9, "id": "too"}
        station.ledger.record(result(Verdict.MASKED, masked_by=MaskedBy.POD, **changes))
        return station

    def test_no_series_is_told_twice(self, station: StandIn) -> None:
        told = [(s.name, *sorted(s.labels.items())) for f in station_registry(station).collect() for s in f.samples]
        assert len(told) == len(set(told))

    def test_the_worst_and_the_sums_are_told(self, station: StandIn) -> None:
        assert holding(station, "mailprobe_verdict", "verdict") == ["masked"]
        assert holding(station, "mailprobe_masked_by", "network") == ["pod"]
        assert value(station, "mailprobe_client_address_preserved", path="vip", service="smtp") == 0.0
        counted = states(station, "mailprobe_sessions_total", "verdict")
        assert {verdict: count for verdict, count in counted.items() if count} == {"preserved": 1.0, "masked": 1.0}
        expiry = "mailprobe_tls_certificate_expiry_timestamp_seconds"
        assert value(station, expiry, path="vip", service="smtp") == 2e9
        told = samples(station_registry(station), "mailprobe_session_duration_seconds_bucket")
        assert [(s.value, s.exemplar.labels) for s in told if s.exemplar] == [(2.0, {"session_id": "too"})]

    def test_the_time_told_is_of_the_session_whose_verdict_is_told(self, station: StandIn) -> None:
        """A bad verdict beside which the time moves would be a second bad session."""

        def last() -> float | None:
            return value(station, "mailprobe_last_session_timestamp_seconds", path="vip", service="smtp")

        assert last() == 130.0
        station.ledger.record(result(Verdict.PRESERVED, opened=160.0))
        assert last() == 130.0
        station.ledger.record(result(Verdict.MASKED, opened=190.0, masked_by=MaskedBy.POD, port=2525))
        assert last() == 190.0
        station.ledger.record(result(Verdict.PRESERVED, opened=220.0, port=2525))
        assert last() == 160.0

    def test_a_port_that_leaves_the_configuration_takes_no_count_along(self, station: StandIn) -> None:
        """To Prometheus a counter that falls began anew, and all that is left would be added once more."""
        for number in range(3):
            station.ledger.record(result(Verdict.REFUSED, opened=160.0 + 30 * number, port=2525, id=f"too{number}"))
        station.ledger.miss(SMTP_TOO.name, 2)

        def counts() -> list[tuple[str, dict[str, str], float]]:
            told = [s for family in station_registry(station).collect() for s in family.samples]
            kinds = ("_total", "_count", "_sum", "_bucket")
            return [(s.name, s.labels, s.value) for s in told if "service" in s.labels and s.name.endswith(kinds)]

        before = counts()
        assert ("mailprobe_outage_seconds_total", VIP, 90.0) in before
        assert ("mailprobe_turns_missed_total", VIP, 2.0) in before
        station.ledger.configure([SMTP], now=300.0)
        assert counts() == before
        station.ledger.configure([SMTP_TOO], now=400.0)  # the other port in its place, in one reload
        assert counts() == before
        station.ledger.configure([], now=500.0)
        station.ledger.configure([SMTP], now=600.0)
        assert not any(number for _, _, number in counts())

    def test_one_that_does_not_work_is_enough(self, station: StandIn) -> None:
        assert value(station, "mailprobe_up", path="vip", service="smtp") == 1.0
        station.ledger.record(result(Verdict.REFUSED, opened=160.0, fault=FAULT))
        assert value(station, "mailprobe_up", path="vip", service="smtp") == 0.0

    @pytest.mark.parametrize(
        ("one", "other", "told"),
        [
            ("preserved", "unverified", "unverified"),
            ("unverified", "rate_limited", "rate_limited"),
            ("service_error", "refused", "refused"),
            ("preserved", "preserved", "preserved"),
            *((works, fails, fails) for works in ("masked", "spoofable") for fails in UNSERVED),
        ],
    )
    def test_the_worse_verdict_holds(self, tmp_path: Path, one: str, other: str, told: str) -> None:
        for first, second in ((one, other), (other, one)):
            station = stand_in(tmp_path, [SMTP, SMTP_TOO])
            station.ledger.record(result(Verdict(first), masked_by=BY.get(first)))
            station.ledger.record(result(Verdict(second), port=2525, masked_by=BY.get(second)))
            assert holding(station, "mailprobe_verdict", "verdict") == [told]
            known = 1.0 if told == "preserved" else None
            assert value(station, "mailprobe_client_address_preserved", path="vip", service="smtp") == known
            assert holding(station, "mailprobe_masked_by", "network") == []


class TestSources:
    def test_how_a_source_serves(self, station: StandIn) -> None:
        counted = [0] * (len(LAG_BUCKETS) + 1)
        counted[0], counted[4], counted[-1] = 3, 2, 1
        station.sources = (
            Heard(source="file:/log", up=True, lines=7, last_line_at=5.0, counted=tuple(counted), late_in_all=402.0),
            Heard(source="syslog:udp", up=False),
        )
        assert states(station, "mailprobe_evidence_source_up", "source") == {"file:/log": 1.0, "syslog:udp": 0.0}
        assert states(station, "mailprobe_evidence_lines_total", "source") == {"file:/log": 7.0, "syslog:udp": 0.0}
        last = states(station, "mailprobe_evidence_last_line_timestamp_seconds", "source")
        assert last == {"file:/log": 5.0}
        lag = "mailprobe_evidence_lag_seconds"
        assert value(station, f"{lag}_bucket", source="file:/log", le="0.05") == 3.0
        assert value(station, f"{lag}_bucket", source="file:/log", le="300.0") == 5.0
        assert value(station, f"{lag}_count", source="file:/log") == 6.0
        assert value(station, f"{lag}_sum", source="file:/log") == 402.0

    def test_a_clock_is_told_as_far_as_it_is_known(self, station: StandIn) -> None:
        station.sources = (
            Heard(source="sighted", up=True, late=(0.5,), offset=-0.25),
            Heard(source="ahead", up=True, late=(-3.0, 0.5)),
            Heard(source="late", up=True, late=(7.0,)),
            Heard(source="silent", up=True),
        )
        told = states(station, "mailprobe_evidence_clock_offset_seconds", "source")
        assert told == {"sighted": -0.25, "ahead": 3.0}

    def test_a_clock_is_compared_with_the_probe_s_of_now(self) -> None:
        """Both were set forward by an hour since the start; then the source's alone is right."""
        for offset, told in ((3600.0, 0.0), (0.0, -3600.0)):
            page = Page("lan", [METRICS["mailprobe_evidence_clock_offset_seconds"]])
            heard = [Heard(source="file:/log", up=True, late=(0.0,), offset=offset, shift=3600.0)]
            fill.sources(page, heard, lambda moment: moment + 3600.0)
            assert [sample.value for family in page.families() for sample in family.samples] == [told]

    def test_sources_of_one_name_are_told_together(self, station: StandIn) -> None:
        one = Heard(source="kubernetes:mail", up=True, lines=7, last_line_at=5.0, late_in_all=1.0)
        station.sources = (one, replace(one, up=False, lines=2, last_line_at=None))
        assert states(station, "mailprobe_evidence_source_up", "source") == {"kubernetes:mail": 0.0}
        assert states(station, "mailprobe_evidence_lines_total", "source") == {"kubernetes:mail": 9.0}
        assert value(station, "mailprobe_evidence_lag_seconds_sum", source="kubernetes:mail") == 2.0


VIP_ADDRESS, ANOTHER = ip_address("10.0.20.202"), ip_address("10.0.20.203")


def _known(count: int) -> Known[int]:
    return Known(count, Origin.HEALTH_CHECK, 5.0)


NODES = (
    Node(name="k8s-node1", addresses=(ip_address("10.0.20.101"),), local_endpoints=_known(1)),
    Node(name="k8s-node2", local_endpoints=_known(0)),
    Node(name="k8s-node3"),
)


def by(address: Address, *nodes: str | None) -> dict[Address, tuple[Announcers, ...]]:
    """The address is answered for by these nodes; None: by a machine that is not known."""
    found = tuple(Announcer(name, "02:00:00:00:00:99") for name in nodes)
    return {address: (Known(found, Origin.NEIGHBOURS, 5.0),)}


class TestCluster:
    def test_nodes_by_name_and_nobody_by_address(self, station: StandIn) -> None:
        known = by(VIP_ADDRESS, "k8s-node2")[VIP_ADDRESS]
        told: dict[Address, tuple[Announcers, ...]] = {
            VIP_ADDRESS: (*known, Known((Announcer("k8s-node1"),), Origin.METALLB, 5.0)),
            **by(ANOTHER, None),
        }
        station.topology = Topology(taken=5.0, nodes=NODES, announcers=told)
        local = states(station, "mailprobe_node_local_endpoints", "node")
        assert local == {"k8s-node1": 1.0, "k8s-node2": 0.0}
        assert states(station, "mailprobe_announcer_info", "node") == {"k8s-node2": 1.0}

    @pytest.mark.parametrize("of_the_service", [("k8s-node1",), ()])
    @pytest.mark.parametrize("known_by", ["the API", "networks", "nothing"])
    def test_who_announces_another_service_s_address_announces_no_mail(
        self, station: StandIn, known_by: str, of_the_service: tuple[str, ...]
    ) -> None:
        """A proxy has its address from MetalLB too: its node has no endpoint of the mail server, and needs none."""
        told = {**by(VIP_ADDRESS, *of_the_service), **by(ANOTHER, "k8s-node2")}
        by_api = ServiceFacts(addresses=Known((VIP_ADDRESS,), Origin.KUBERNETES, 5.0))
        service = by_api if known_by == "the API" else ServiceFacts()
        station.topology = Topology(taken=5.0, nodes=NODES, service=service, announcers=told)
        if known_by == "networks":
            networks = replace(station.settings.networks, proxies=(ip_network(ANOTHER),))
            station.settings = station.settings.model_copy(update={"networks": networks})
        names = of_the_service if known_by != "nothing" else ()
        assert states(station, "mailprobe_announcer_info", "node") == dict.fromkeys(names, 1.0)

    def test_addresses_of_both_families_are_the_service_s(self, station: StandIn) -> None:
        told = {**by(VIP_ADDRESS, "k8s-node1"), **by(ip_address("2001:db8:20::202"), "k8s-node2")}
        station.topology = Topology(taken=5.0, nodes=NODES, announcers=told)
        assert [*states(station, "mailprobe_announcer_info", "node")] == ["k8s-node1", "k8s-node2"]

    def test_nothing_is_told_of_a_cluster_that_is_not_known(self, station: StandIn) -> None:
        assert samples(station_registry(station), "mailprobe_node_local_endpoints") == []
        assert samples(station_registry(station), "mailprobe_announcer_info") == []


class TestDaemon:
    def test_clients_of_every_network_from_the_first_scrape_on(self, station: StandIn) -> None:
        assert states(station, "mailprobe_clients_total", "network") == dict.fromkeys(map(str, MaskedBy), 0.0)
        station.clients = {"node": 12, "other": 3}
        told = states(station, "mailprobe_clients_total", "network")
        assert (told["node"], told["other"], told["pod"]) == (12.0, 3.0, 0.0)

    def test_logins_only_where_they_are_counted(self, station: StandIn) -> None:
        assert value(station, "mailprobe_dovecot_logins_total") is None
        station.logins = 1234.0
        assert value(station, "mailprobe_dovecot_logins_total") == 1234.0

    @pytest.mark.parametrize(("fault", "told"), [(None, 1.0), ("paths: nothing", 0.0)])
    def test_how_the_configuration_was_last_read(self, station: StandIn, fault: str | None, told: float) -> None:
        station.reload = Reload(at=1.0, fault=fault)
        assert value(station, "mailprobe_config_last_reload_successful") == told

    def test_version(self, station: StandIn) -> None:
        assert value(station, "mailprobe_build_info", version=probe.__version__) == 1.0


class TestAView:
    def test_a_path_that_left_the_configuration_leaves_no_series(self, tmp_path: Path) -> None:
        station = stand_in(tmp_path, [SMTP, IMAPS, replace(SMTP, path="old")])
        registry = station_registry(station)
        station.ledger.record(result(path="old"))
        assert any(s.labels.get("path") == "old" for f in registry.collect() for s in f.samples)
        station.ledger.configure([SMTP])
        left = {
            (s.labels["path"], s.labels["service"]) for f in registry.collect() for s in f.samples if "path" in s.labels
        }
        assert left == {("vip", "smtp")}

    def test_a_snapshot_stays_as_it_was(self, station: StandIn) -> None:
        station.ledger.record(result(Verdict.PRESERVED, opened=100.0))
        registry = snapshot_registry(station)
        station.ledger.record(result(Verdict.REFUSED, opened=130.0))
        station.clients = {"node": 1}
        assert registry.get_sample_value("mailprobe_verdict", {**VIP, "verdict": "preserved"}) == 1.0
        assert registry.get_sample_value("mailprobe_session_duration_seconds_count", VIP) == 1.0
        assert registry.get_sample_value("mailprobe_clients_total", {"vantage": "lan-probe", "network": "node"}) == 0.0

    def test_no_address_is_a_label(self, tmp_path: Path) -> None:
        station = stand_in(tmp_path, [SMTP], sources=(Heard(source="file:/log", up=True),))
        station.ledger.record(result(Verdict.MASKED, masked_by=MaskedBy.NODE, id="s1"))
        values = {v for f in station_registry(station).collect() for s in f.samples for v in s.labels.values()}
        assert not [label for label in values if label.count(".") == 3 or ":" in label.removeprefix("file:")]


THERE = {"service": Service.IMAPS, "port": 993}


class TestOneRequest:
    def one(self, verdict: str, **changes: Any) -> Result:
        return result(Verdict(verdict), **changes)

    def told(self, *results: Result, unfinished: Sequence[EndpointName] = (), **around: Any) -> CollectorRegistry:
        done = Round(vantage="lan-probe", started=100.0, seconds=1.5, results=results, **around)
        return probe_registry(done, unfinished=unfinished)

    @pytest.mark.parametrize(
        ("verdict", "fault", "success"), [("preserved", None, 1.0), ("masked", None, 1.0), ("refused", FAULT, 0.0)]
    )
    def test_success_is_what_other_probers_call_so(self, verdict: str, fault: object, success: float) -> None:
        registry = self.told(self.one(verdict, fault=fault))
        assert registry.get_sample_value("probe_success") == success
        assert registry.get_sample_value("probe_duration_seconds") == 1.5
        assert registry.get_sample_value("mailprobe_verdict", {**VIP, "verdict": verdict}) == 1.0
        assert registry.get_sample_value("mailprobe_up", VIP) == success
        assert registry.get_sample_value("mailprobe_session_duration_seconds_count", VIP) == 1.0

    def test_counters_and_what_no_session_tells_are_left_out(self) -> None:
        registry = self.told(self.one("preserved"))
        families = list(registry.collect())
        assert all(family.samples for family in families)
        assert not [family.name for family in families if family.type == "counter"]

    def test_several_services_of_a_path_succeed_together(self) -> None:
        imaps = self.one("refused", service=Service.IMAPS, port=993, fault=FAULT)
        registry = self.told(self.one("preserved"), imaps)
        assert registry.get_sample_value("probe_success") == 0.0
        assert registry.get_sample_value("mailprobe_up", VIP) == 1.0
        assert self.told().get_sample_value("probe_success") == 0.0

    def test_nodes_are_told_as_the_daemon_itself_tells_them(self) -> None:
        topology = Topology(taken=5.0, nodes=NODES, announcers=by(VIP_ADDRESS, "k8s-node2"))
        proxy = Networks(proxies=(ip_network(VIP_ADDRESS),))
        for networks, nodes in ((Networks(), ["k8s-node2"]), (proxy, [])):
            registry = self.told(self.one("preserved"), topology=topology, networks=networks)
            local = samples(registry, "mailprobe_node_local_endpoints")
            assert [(one.labels["node"], one.value) for one in local] == [("k8s-node1", 1.0), ("k8s-node2", 0.0)]
            assert [one.labels["node"] for one in samples(registry, "mailprobe_announcer_info")] == nodes

    def test_what_is_not_judged_in_time_is_said(self) -> None:
        early = self.one("unverified")
        registry = self.told(early, self.one("masked", **THERE), unfinished=[SMTP.name])
        assert registry.get_sample_value("probe_success") == 1.0
        assert registry.get_sample_value("mailprobe_unfinished", VIP) == 1.0
        assert registry.get_sample_value("mailprobe_unfinished", {**VIP, "service": "imaps"}) == 0.0
        assert registry.get_sample_value("mailprobe_verdict", {**VIP, "verdict": "unverified"}) == 1.0
        assert registry.get_sample_value("mailprobe_client_address_preserved", VIP) is None

    def test_no_verdict_is_made_up_of_a_session_that_is_still_open(self) -> None:
        """Nor is that of another port told as if it were the service's."""
        results = [self.one("preserved", port=2525), self.one("preserved", **THERE)]
        registry = self.told(*results, unfinished=[SMTP.name])
        assert registry.get_sample_value("probe_success") == 0.0
        assert registry.get_sample_value("mailprobe_unfinished", VIP) == 1.0
        assert {s.labels["service"] for f in registry.collect() for s in f.samples if s.name == "mailprobe_up"} == {
            "imaps"
        }
        assert registry.get_sample_value("mailprobe_verdict", {**VIP, "verdict": "preserved"}) is None
