"""A service of a path on two ports: one in a state that lasts and may be silenced, and what becomes of the other."""

from __future__ import annotations

from tests.deploy.case import SMTP, Case, differs, drop, lan
from tests.deploy.story import Vantage

IMAPS, SUBMISSION, SUBMISSIONS = (SMTP.replace("smtp", service) for service in ("imaps", "submission", "submissions"))
FORGED = SMTP.replace("vip", "forged")
KNOWN = {f"MailprobeMasked{{{labels}}}": "" for labels in (SMTP, IMAPS, SUBMISSIONS)} | {
    f"MailprobeSpoofable{{{FORGED}}}": ""
}
DIFFERS = differs().replace("smtp", "submission")

PORTS = (
    Case(
        name="one of two ports is masked or spoofable all the time, and nobody gets in at the other, or headers do",
        vantages=(
            lan(
                "preserved 8m, silent_drop 6m, preserved 11m",
                more={
                    "vip/smtp:2525": "masked 25m",
                    "vip/imaps": "preserved 8m, login_failed 6m, preserved 11m",
                    "vip/imaps:1993": "masked 25m",
                    "vip/submission": "preserved 8m, silent_drop 6m, preserved 11m",
                    "vip/submission:2587": "masked 25m",
                    "vip/submissions": "preserved 8m, spoofable 6m, preserved 11m",
                    "vip/submissions:2465": "masked 25m",
                    "forged/smtp": "preserved 8m, no_greeting 6m, preserved 11m",
                    "forged/smtp:2525": "spoofable 25m",
                },
            ),
            Vantage(name="vps", scripts={"vip/submission": "preserved 8m, silent_drop 6m, preserved 11m"}),
        ),
        fires={
            "7m30s": {**KNOWN, DIFFERS: ""},
            "13m30s": {
                drop(): "vip/smtp: connections vanish without an answer (silent_drop), seen from lan",
                drop(SUBMISSION): (
                    "vip/submission: connections vanish without an answer (silent_drop), seen from lan, vps"
                ),
                f"MailprobeLoginFailed{{{IMAPS}}}": "",
                f"MailprobeNoGreeting{{{FORGED}}}": "",
                f"MailprobeMasked{{{SUBMISSIONS}}}": "",
                f"MailprobeSpoofable{{{SUBMISSIONS}}}": "",
            },
            "24m": {**KNOWN, DIFFERS: ""},
        },
    ),
)
