"""A judged session as a whole: the object of `--once`, with all that a page and the history keep beside it. Pure."""

from __future__ import annotations

from probe.model import Control, Result, Sign, Spoken
from probe.report.json import session_object, timestamp


def record_object(result: Result, *, shift: float = 0.0) -> dict[str, object]:
    """One session as plain values. `shift`: seconds by which the wall clock was set since the probe's clock began.

    `transcript`: [seconds since `opened`, "client" or "server", text], secrets masked as they were when it was kept.
    """
    session, evidence, judgement = result.session, result.evidence, result.judgement
    expiry = session.certificate_expiry
    return {
        **session_object(result, shift=shift),
        "opened": timestamp(session.opened + shift),
        "closed": timestamp(session.closed + shift),
        "seconds": round(session.seconds, 6),
        "fault": session.fault.detail if session.fault else None,
        "doubt": judgement.doubt,
        "seen": [str(address) for address in judgement.seen],
        "reasons": list(evidence.reasons),
        "signs": [_sign_object(sign, shift) for sign in evidence.signs],
        "controls": [_control_object(control) for control in session.controls],
        "beats": len(session.beats),
        "opened_besides": {"connections": result.given_up, "beats": result.beats},
        "certificate_expiry": timestamp(expiry) if expiry is not None else None,
        "transcript": [_spoken_object(spoken) for spoken in session.transcript],
    }


def _sign_object(sign: Sign, shift: float) -> dict[str, object]:
    client = str(sign.client) if sign.client is not None else None
    return {
        "sign": sign.sign,
        "client": client,
        "source": sign.source,
        "at": timestamp(sign.at + shift),
        "line": sign.line,
    }


def _control_object(control: Control) -> dict[str, object]:
    fault = control.fault.detail if control.fault else None
    return {"kind": control.kind, "worked": control.worked, "seconds": round(control.seconds, 6), "fault": fault}


def _spoken_object(spoken: Spoken) -> list[object]:
    return [round(spoken.seconds, 6), "client" if spoken.ours else "server", spoken.text]
