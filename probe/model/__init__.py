"""The vocabulary of mailprobe. Read this first.

    Endpoint ──open──▶ Session ──look for──▶ Sightings ──judge──▶ Judgement ──tell──▶ Result
    (endpoint.py)      what the client saw   what the server saw  what it proves
                       (session.py)          (evidence.py)        (judgement.py)

    Surroundings: what is known about the cluster around a session, to say why (surroundings.py)

Rules of this package:
- Every value is frozen; nothing here does I/O, reads a clock or makes a random choice.
- Times are seconds since the epoch on the probe's own clock (`clock` arguments elsewhere); durations are seconds.
- One word per idea, the contract's word; enumerations (words.py) are closed sets because metrics label with them.
- Everybody imports from here: `from probe.model import Session`.
"""

from probe.model.address import (
    Address,
    Network,
    Networks,
    Peer,
    plain_address,
    plain_network,
    within,
)
from probe.model.endpoint import (
    WHOAMI,
    Endpoint,
    Login,
    Mailbox,
    Secret,
    Timeouts,
    TlsOptions,
)
from probe.model.evidence import (
    Evidence,
    Sighting,
    Sign,
)
from probe.model.judgement import (
    Judgement,
    Result,
    Round,
)
from probe.model.mask import without_credentials
from probe.model.session import (
    NO_TALLY,
    Beat,
    Clock,
    Control,
    Count,
    Delivery,
    Fault,
    IdMoment,
    IdMoments,
    Imprint,
    PhaseTiming,
    Session,
    Span,
    Spoken,
    Tally,
)
from probe.model.surroundings import (
    NOTHING_KNOWN,
    Announcer,
    Announcers,
    Known,
    Logins,
    Node,
    PodEndpoint,
    Question,
    ServiceFacts,
    Surroundings,
    Topology,
)
from probe.model.words import (
    AddressFamily,
    ControlKind,
    Failure,
    FaultSign,
    HealthPort,
    ImprintKind,
    Link,
    MaskedBy,
    Origin,
    Phase,
    Policy,
    ProxyHeader,
    Service,
    Severity,
    Verdict,
    worst,
)

__all__ = [
    "NOTHING_KNOWN",
    "NO_TALLY",
    "WHOAMI",
    "Address",
    "AddressFamily",
    "Announcer",
    "Announcers",
    "Beat",
    "Clock",
    "Control",
    "ControlKind",
    "Count",
    "Delivery",
    "Endpoint",
    "Evidence",
    "Failure",
    "Fault",
    "FaultSign",
    "HealthPort",
    "IdMoment",
    "IdMoments",
    "Imprint",
    "ImprintKind",
    "Judgement",
    "Known",
    "Link",
    "Login",
    "Logins",
    "Mailbox",
    "MaskedBy",
    "Network",
    "Networks",
    "Node",
    "Origin",
    "Peer",
    "Phase",
    "PhaseTiming",
    "PodEndpoint",
    "Policy",
    "ProxyHeader",
    "Question",
    "Result",
    "Round",
    "Secret",
    "Service",
    "ServiceFacts",
    "Session",
    "Severity",
    "Sighting",
    "Sign",
    "Span",
    "Spoken",
    "Surroundings",
    "Tally",
    "Timeouts",
    "TlsOptions",
    "Topology",
    "Verdict",
    "plain_address",
    "plain_network",
    "within",
    "without_credentials",
    "worst",
]
