"""Certificates that expire: what one server of several shows is told, what is seen once or renewed soon is not."""

from __future__ import annotations

from tests.deploy.case import Case, certificate, lan
from tests.deploy.story import Vantage

EXPIRING = 'MailprobeCertificateExpiring{{path="vip",service="{}",severity="critical"}}'
CERTIFIED = ("imaps", "submission", "submissions")

CERTIFICATES = (
    Case(
        name="certificates with two days left: not always seen, one server of five, renewed after a while, seen once",
        vantages=(lan("preserved 56m", more={f"vip/{service}": "preserved 56m" for service in CERTIFIED}),),
        series={
            certificate("smtp"): "172800x56 stale _x2 " * 6,
            certificate("imaps"): "172800x200 stale _ 7776000x140",
            certificate("submission"): "172800x2 7776000x11 " * 24,
            certificate("submissions"): "7776000x29 172800x2 7776000x310",
        },
        fires={
            "29m": {},
            **{
                at: {EXPIRING.format("smtp"): "", EXPIRING.format("submission"): "", EXPIRING.format("imaps"): ""}
                for at in ("31m", "36m", "45m", "53m")
            },
            **{at: {EXPIRING.format("smtp"): "", EXPIRING.format("submission"): ""} for at in ("54m30s", "55m30s")},
        },
    ),
    Case(
        name="certificates shown for ten minutes by a standby, and renewed ten minutes after the threshold",
        vantages=(lan("preserved 45m", more={"vip/imaps": "preserved 45m"}),),
        series={
            certificate("smtp"): "7776000x29 -86400x59 7776000x180",
            certificate("imaps"): "1209900x88 7776000x180",
        },
        fires={at: {} for at in ("20m", "34m", "35m30s", "39m30s", "44m30s")},
    ),
    Case(
        name="certificates with three weeks, ten days, two days, and none left; vps meets another server",
        vantages=(
            lan("preserved 36m", more={f"vip/{service}": "preserved 36m" for service in CERTIFIED}),
            Vantage(name="vps", scripts={"vip/imaps": "preserved 36m"}),
        ),
        series={
            certificate("imaps").replace("lan", "vps"): "7776000x216",
            certificate("smtp"): "1814400x216",
            certificate("imaps"): "864000x216",
            certificate("submission"): "172800x216",
            certificate("submissions"): "-86400x216",
        },
        fires={
            "29m": {},
            "35m": {
                'MailprobeCertificateExpiring{path="vip",service="imaps",severity="warning"}': (
                    "vip/imaps: the certificate expires in 9d 23h 25m 0s, seen from lan"
                ),
                'MailprobeCertificateExpiring{path="vip",service="submission",severity="critical"}': (
                    "vip/submission: the certificate expires in 1d 23h 25m 0s, seen from lan"
                ),
                'MailprobeCertificateExpiring{path="vip",service="submissions",severity="critical"}': (
                    "vip/submissions: the certificate has expired, seen from lan"
                ),
            },
        },
    ),
)
