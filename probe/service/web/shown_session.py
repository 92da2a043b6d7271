"""A session as plain text, for `/probe?debug=true`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from probe.model import Result, Spoken
from probe.report.headline import outcome
from probe.report.json import timestamp
from probe.report.text import one_line, visible

WIDEST = 2_000


def as_text(result: Result, shift: float) -> str:
    """Everything that led to the verdict, in the order in which it happened."""
    return "".join(f"{line}\n" for line in _lines(result, shift))


def _lines(result: Result, shift: float) -> Iterator[str]:
    session, judgement = result.session, result.judgement
    yield f"Session {session.id} of {session.endpoint} at {timestamp(session.opened + shift)}"
    yield f"  from {session.client or 'no socket'} to {session.address or session.host} port {session.port}"
    yield "Phases:"
    yield from (f"  {timing.phase:<12} {timing.seconds:9.6f} s" for timing in session.phases)
    if session.fault is not None:
        yield f"  failed in {session.fault.phase}: {one_line(session.fault.detail, WIDEST)}"
    yield "Transcript:"
    yield from (_spoken(one) for one in session.transcript)
    yield "Sightings:"
    for seen in result.evidence.sightings:
        yield f"  {seen.address} by {seen.link} from {one_line(seen.source)}: {one_line(seen.line, WIDEST)}"
    yield from (f"  none: {one_line(reason, WIDEST)}" for reason in result.evidence.reasons)
    yield from (f"  sign {sign.sign}: {one_line(sign.line, WIDEST)}" for sign in result.evidence.signs)
    for control in session.controls:
        why = control.fault.detail if control.fault else "it worked"
        yield f"  control {control.kind} ({control.seconds:.3f} s): {one_line(why, WIDEST)}"
    yield f"Rule: {judgement.rule}"
    yield f"Verdict: {outcome(judgement)} ({judgement.verdict.severity})"
    yield f"  {visible(judgement.explanation)}"
    yield from [f"  Cause: {visible(judgement.cause)}"] if judgement.cause else []
    yield f"  Next: {visible(judgement.hint)}"


def _spoken(one: Spoken) -> str:
    return f"  {one.seconds:9.6f} {'C' if one.ours else 'S'}: {one_line(one.text, WIDEST)}"
