"""What interrupts, by chance and for minutes: nobody is paged for it, and no page is lost or told twice.

Rule 1: a story of many moments is asked every two minutes: what fires goes on for as long (`keep_firing_for`).
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.deploy.case import OF_LAN, SMTP, Case, announced, differs, down, drop, endpoints, lan, short
from tests.deploy.story import Vantage, by_chance

ABSENT = {'MailprobeAbsent{path="vip"}': ""}
STALE = {f'MailprobeStale{{{SMTP},vantage="lan"}}': ""}


def each(first: int, last: int, fires: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """The same, every two minutes from the first to the last."""
    return {f"{minute}m": fires for minute in range(first, last + 1, 2)}


def several(name: str, scripts: Mapping[str, str], seed: int) -> Vantage:
    """Services of vip: one scrape in ten fails, alone or two in a row, and the daemon is away for 20 s at times."""
    misses = by_chance(seed, "20m", every="2m", each=2) | by_chance(seed + 1, "20m", every="200s")
    away = by_chance(seed + 2, "20m", every="5m", each=2)
    return Vantage(
        name=name, scripts={f"vip/{service}": told for service, told in scripts.items()}, misses=misses, away=away
    )


def rounds(name: str, script: str, interval: int) -> Vantage:
    """Rounds from elsewhere; one that waits for evidence takes longer than one that is dropped."""
    takes = {"preserved": 3, "silent_drop": 6, "unverified": 16}
    return Vantage(name="cron", scripts={name: script}, counts=False, interval=interval, takes=takes)


ALONE = {
    f'MailprobeVantageDiffers{{path="vip",service="{service}",vantage="lan"}}': "" for service in ("smtp", "imaps")
}
AGREED = {
    drop(): "",
    'MailprobeMasked{path="vip",service="imaps"}': "",
    'MailprobeRefused{path="vip",service="submission"}': "",
}

SCRAPES = (
    *(
        Case(
            name=f"lan's own uplink and NAT, while vps is well, and blind, and missed by chance ({seed})",
            vantages=(
                lan("preserved 1m, silent_drop 15m", more={"vip/imaps": "preserved 1m, masked 15m"}),
                several(
                    "vps",
                    {
                        "smtp": "preserved 5m, unable 30s, preserved 5m30s, unable 1m, preserved 4m",
                        "imaps": "preserved 4m, unverified 3m, preserved 30s, unverified 5m, preserved 3m30s",
                    },
                    seed,
                ),
            ),
            fires=each(4, 14, ALONE),
            scrape=scrape,
        )
        for seed, scrape in ((1, 10), (5, 7))
    ),
    *(
        Case(
            name=f"what pages goes on paging, whichever scrapes fail and whenever the daemon restarts ({seed})",
            vantages=(
                several(
                    "lan",
                    {
                        "smtp": "preserved 1m, silent_drop 15m",
                        "imaps": "preserved 1m, masked 15m",
                        "submission": "preserved 1m, refused 15m",
                    },
                    seed,
                ),
            ),
            fires=each(4, 14, AGREED),
            scrape=scrape,
        )
        for seed, scrape in ((12, 10), (17, 7))
    ),
    Case(
        name="two of three vantages are missed at once",
        vantages=(
            lan("preserved 1m, silent_drop 7m"),
            Vantage(name="vps", scripts={"vip/smtp": "preserved 8m"}, misses={30, 31, 40}),
            Vantage(name="office", scripts={"vip/smtp": "preserved 8m"}, misses={30, 31, 40}),
        ),
        fires={"5m20s": {differs(): ""}, "7m20s": {differs(): ""}},
    ),
    Case(
        name="a clock is set back by an hour between the first and the second session that are lost",
        vantages=(
            Vantage(name="lan", scripts={"vip/smtp": "preserved 2m, silent_drop 2m"}, clock=(130, -3600)),
            Vantage(name="lan", scripts={"vip/imaps": "preserved 2m, silent_drop 30s, preserved 90s"}, clock=(130, 15)),
        ),
        fires={"2m20s": {}, "3m10s": {drop(): "", short(service="imaps"): ""}},
    ),
    Case(
        name="a scrape that fails amid an outage is not the end of it",
        vantages=(Vantage(name="lan", scripts={"vip/smtp": "preserved 2m, refused 1m, preserved 1m"}, misses={16}),),
        fires={"2m40s": {}, "2m50s": {}, "3m10s": {short(): ""}},
    ),
    Case(
        name="one session is lost, and the next ones cannot be opened",
        vantages=(lan("preserved 2m, silent_drop 30s, unable 90s, preserved 2m"),),
        fires={"2m50s": {}, "3m50s": {}, "4m30s": {short(): ""}},
    ),
    Case(
        name="two sessions 10 s apart are a failover, three are none",
        vantages=(
            Vantage(
                name="lan",
                scripts={
                    "vip/smtp": "preserved 2m, silent_drop 20s, preserved 1m",
                    "vip/imaps": "preserved 2m, silent_drop 30s, preserved 50s",
                },
                interval=10,
            ),
        ),
        fires={
            "2m10s": {},
            "2m20s": {drop('path="vip",service="imaps"'): "", short(): ""},
            "3m10s": {drop('path="vip",service="imaps"'): "", short(): ""},
        },
    ),
    *(
        Case(
            name=f"rounds every {interval} s, of which one is lost, and two are",
            vantages=(
                rounds(
                    "vip/smtp",
                    f"preserved {interval * 3}s, silent_drop {interval}s, unverified {interval * 4}s",
                    interval,
                ),
                rounds("out/smtp", f"preserved {interval * 3}s, silent_drop {interval * 5}s", interval),
            ),
            fires={
                f"{interval * 4}s": {},
                f"{interval * 4 + 10}s": {drop('path="out",service="smtp"'): ""},
                f"{interval * 5}s": {drop('path="out",service="smtp"'): ""},
            },
        )
        for interval in (60, 90)
    ),
)

LOST = "stale 0x5 " * 20
"""A metric that is 0, of which each seventh scrape fails."""

RARE = (
    Case(
        name="a session every five minutes: one that is lost is none, two page; and so for one vantage of two",
        vantages=(
            Vantage(
                name="lan",
                scripts={
                    "vip/smtp": "preserved 10m, silent_drop 25m",
                    "vip/imaps": "preserved 10m, silent_drop 5m, preserved 20m",
                    "vip/submission": "preserved 10m, refused 25m",
                    "inside/smtp": "preserved 10m, masked 25m",
                    "out/smtp": "preserved 10m, silent_drop 25m",
                },
                interval=300,
                takes={"preserved": 20},
                misses=by_chance(3, "35m", every="2m"),
                away={95, 96},
            ),
            Vantage(name="vps", scripts={"out/smtp": "preserved 35m"}, interval=300),
        ),
        fires={
            "9m": {},
            "14m30s": {},
            "16m": {drop(): "", 'MailprobeMasked{path="inside",service="smtp"}': "", short(service="imaps"): ""},
            **{
                at: {
                    drop(): "",
                    'MailprobeRefused{path="vip",service="submission"}': "",
                    'MailprobeMasked{path="inside",service="smtp"}': "",
                    'MailprobeVantageDiffers{path="out",service="smtp",vantage="lan"}': "",
                    short(service="imaps"): "",
                }
                for at in ("19m", "22m", "25m")
            },
        },
    ),
    Case(
        name="the only daemon is there for one minute of five: while all is well, and while nobody gets in",
        vantages=(
            lan("preserved 10m" + ", gone 4m, hung 20s, preserved 40s" * 5),
            Vantage(name="vps", scripts={"out/smtp": "preserved 10m" + ", gone 4m, hung 20s, silent_drop 40s" * 5}),
        ),
        fires={
            "14m": {},
            "19m30s": {**down("lan"), **down("vps"), drop('path="out",service="smtp"'): ""},
            "24m30s": {
                **down("lan"),
                **down("vps"),
                **ABSENT,
                'MailprobeAbsent{path="out"}': "",
                drop('path="out",service="smtp"'): "",
            },
            "33m": {
                **down("lan"),
                **down("vps"),
                **ABSENT,
                'MailprobeAbsent{path="out"}': "",
                drop('path="out",service="smtp"'): "",
            },
        },
    ),
    Case(
        name="a daemon is new, and has its first session after five minutes",
        vantages=(lan("hung 5m, preserved 8m"),),
        fires={"4m": {}, "7m": {}, "12m": {}},
    ),
    Case(
        name="a session every quarter of an hour is too rare, and that is told",
        vantages=(Vantage(name="lan", scripts={"vip/smtp": "preserved 15m"}, interval=900),),
        fires={"9m": {}, "13m": STALE},
    ),
    Case(
        name="sessions stop, and scrapes fail now and then",
        vantages=(
            Vantage(name="lan", scripts={"vip/smtp": "preserved 5m, hung 25m"}, misses=by_chance(7, "30m", every="2m")),
        ),
        fires={"13m": {}, **each(17, 21, STALE), **each(25, 29, {**STALE, **ABSENT})},
    ),
    Case(
        name="a configuration that was not taken, and an announcer without endpoint, of which scrapes fail",
        vantages=(lan("preserved 22m"),),
        series={
            f"mailprobe_config_last_reload_successful{{{OF_LAN}}}": LOST,
            announced("node2"): LOST.replace("0x", "1x"),
            endpoints("node2"): LOST,
        },
        fires=each(
            11,
            19,
            {'MailprobeReloadFailed{vantage="lan"}': "", 'MailprobeAnnouncerWithoutEndpoint{node="node2"}': ""},
        ),
    ),
)
"""Evaluated each half minute."""
