"""The tables, continued: what peers say in words, and peers that want, get or refuse PROXY headers."""

from __future__ import annotations

from probe.model import ProxyHeader
from tests.sessions.acts import after, at_first, echo, hang_up, reset, say, spoken_to, wants_header
from tests.sessions.moment import Moment
from tests.sessions.rows import (
    ALL,
    BAD_LOGIN,
    GOOD,
    HEADER_UNWANTED,
    IMAPS,
    SMTP,
    SPEAKS_SMTP,
    STARTTLS_FIRST,
    SUBMISSION,
    SUBMISSIONS,
    TLS_FIRST,
    Row,
    failing,
    limited,
    says,
)

WORDS: tuple[Row, ...] = (
    says("554-greeting", SPEAKS_SMTP, Moment.GREETING, b"554 5.7.1 no service here\r\n", failing("greeting")),
    says("421-at-once", SPEAKS_SMTP, Moment.GREETING, b"421 4.3.2 shutting down\r\n", failing("greeting")),
    says("bye-greeting", (IMAPS,), Moment.GREETING, b"* BYE going down\r\n", failing("greeting")),
    says("no-greeting-word", (IMAPS,), Moment.GREETING, b"* NO way\r\n", failing("greeting")),
    says("http", ALL, Moment.GREETING, b"HTTP/1.1 400 Bad Request\r\n\r\n", failing("greeting")),
    says("malformed-code", SPEAKS_SMTP, Moment.GREETING, b"2x0 hello\r\n", failing("greeting")),
    says("negative-code", SPEAKS_SMTP, Moment.GREETING, b"-20 hello\r\n", failing("greeting")),
    says("code-of-unknown-kind", SPEAKS_SMTP, Moment.GREETING, b"999 hello\r\n", failing("greeting")),
    says("mixed-codes", SPEAKS_SMTP, Moment.GREETING, b"220-a\r\n554 b\r\n", failing("greeting")),
    says("bad-utf-8", SPEAKS_SMTP, Moment.GREETING, b"554 \xff\xfe no\r\n", failing("greeting")),
    says("bad-utf-8", (IMAPS,), Moment.GREETING, b"* BYE \xff\xfe no\r\n", failing("greeting")),
    says("nul", SPEAKS_SMTP, Moment.GREETING, b"554 \0\x1b[2Jno\r\n", failing("greeting")),
    says("nul", (IMAPS,), Moment.GREETING, b"* BYE \0\x1b[2Jno\r\n", failing("greeting")),
    says("nuls-only", ALL, Moment.GREETING, b"\0\0\0\r\n", failing("greeting")),
    says("bad-utf-8-in-a-good-greeting", SPEAKS_SMTP, Moment.GREETING, b"220 m\xfcller\r\n", GOOD),
    says("bad-utf-8-in-a-good-greeting", (IMAPS,), Moment.GREETING, b"* OK m\xfcller\r\n", GOOD),
    # hello
    says("421-hello", SPEAKS_SMTP, Moment.HELLO, b"421 4.3.2 shutting down\r\n", failing("hello")),
    says("550-hello", SPEAKS_SMTP, Moment.HELLO, b"550 5.7.1 go away\r\n", failing("hello")),
    says("502-hello", (SUBMISSION, SUBMISSIONS), Moment.HELLO, b"502 5.5.2 what\r\n", failing("hello")),
    says("bye-for-hello", (IMAPS,), Moment.HELLO, b"* BYE bored\r\n%t OK done\r\n", failing("hello")),
    says("capability-refused", (IMAPS,), Moment.HELLO, b"%t NO not now\r\n", failing("hello")),
    says("capability-without-answer", (IMAPS,), Moment.HELLO, b"%t OK done\r\n", failing("hello")),
    says("capability-of-nothing", (IMAPS,), Moment.HELLO, b"* CAPABILITY\r\n%t OK done\r\n", failing("hello")),
    says(
        "capability-in-bad-utf-8",
        (IMAPS,),
        Moment.HELLO,
        b"* CAPABILITY IMAP4rev1 \xff\r\n%t OK done\r\n",
        failing("hello"),
    ),
    says("word-in-bad-utf-8", (IMAPS,), Moment.HELLO, b"* \xff\xff\r\n%t OK done\r\n", failing("hello")),
    says("tag-of-another", (IMAPS,), Moment.HELLO, b"ZZZZ9 OK done\r\n", failing("hello")),
    says("bare-newlines", (IMAPS,), Moment.HELLO, b"* CAPABILITY IMAP4rev1\n%t OK done\n", failing("hello")),
    says("two-answers-for-one", SPEAKS_SMTP, Moment.HELLO, b"250 mail\r\n250 again\r\n", failing("hello")),
    says("answers-unasked", SPEAKS_SMTP, Moment.GREETING, b"220 mail\r\n250 hello\r\n", failing("hello")),
    says(
        "unknown-untagged",
        (IMAPS,),
        Moment.HELLO,
        b"* WHAT 1 2 3\r\n* 5 FETCH (X\r\n* CAPABILITY IMAP4rev1\r\n%t OK done\r\n",
        GOOD,
    ),
    # starttls
    Row(name="no-starttls", services=(SUBMISSION,), offers=(b"AUTH PLAIN",), end=failing("starttls")),
    Row(name="no-starttls", services=(SMTP,), offers=(b"AUTH PLAIN",), end=failing("login")),
    says("454-starttls", STARTTLS_FIRST, Moment.STARTTLS, b"454 4.7.0 TLS not available\r\n", failing("starttls")),
    says(
        "too-many-tls",
        STARTTLS_FIRST,
        Moment.STARTTLS,
        b"454 4.7.0 Error: too many new TLS sessions from 1.2.3.4\r\n",
        limited("starttls"),
    ),
    # login
    Row(name="no-auth-plain", services=SPEAKS_SMTP, offers=(b"STARTTLS", b"AUTH CRAM-MD5"), end=failing("login")),
    Row(name="no-auth", services=SPEAKS_SMTP, offers=(b"STARTTLS",), end=failing("login")),
    Row(name="logindisabled", services=(IMAPS,), capabilities=b"IMAP4rev1 LOGINDISABLED", end=failing("login")),
    Row(name="logindisabled-lower", services=(IMAPS,), capabilities=b"IMAP4rev1 logindisabled", end=failing("login")),
    says("preauth", (IMAPS,), Moment.GREETING, b"* PREAUTH you are in\r\n", failing("login")),
    says("535", SPEAKS_SMTP, Moment.LOGIN, b"535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6\r\n", BAD_LOGIN),
    says("454-login", SPEAKS_SMTP, Moment.LOGIN, b"454 4.7.0 Temporary authentication failure\r\n", failing("login")),
    says("334-login", SPEAKS_SMTP, Moment.LOGIN, b"334 \r\n", failing("login")),
    says(
        "too-many-auths",
        SPEAKS_SMTP,
        Moment.LOGIN,
        b"450 4.7.1 Error: too many AUTH commands from 1.2.3.4\r\n",
        limited("login"),
    ),
    says("421-login", SPEAKS_SMTP, Moment.LOGIN, b"421 4.7.0 mail Error: too many errors\r\n", failing("login")),
    says(
        "authenticationfailed",
        (IMAPS,),
        Moment.LOGIN,
        b"%t NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
        BAD_LOGIN,
    ),
    says("unavailable", (IMAPS,), Moment.LOGIN, b"%t NO [UNAVAILABLE] Internal error\r\n", failing("login")),
    says("privacy-required", (IMAPS,), Moment.LOGIN, b"%t NO [PRIVACYREQUIRED] Use TLS\r\n", failing("login")),
    says("bad-login", (IMAPS,), Moment.LOGIN, b"%t BAD Error in IMAP command\r\n", failing("login")),
    says(
        "too-many-of-user",
        (IMAPS,),
        Moment.LOGIN,
        b"%t NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)\r\n",
        limited("login"),
    ),
    says("wrong-tag-for-login", (IMAPS,), Moment.LOGIN, b"ZZZZ9 OK in\r\n", failing("login")),
    says("login-in-bad-utf-8", (IMAPS,), Moment.LOGIN, b"* CAPABILITY \xff\r\n%t OK \xff\r\n", failing("login")),
    says("continuation-for-login", (IMAPS,), Moment.LOGIN, b"+ go on\r\n%t OK in\r\n", GOOD),
    Row(name="echo-of-login", services=SPEAKS_SMTP, acts={Moment.LOGIN: echo(b"535 5.7.8 you said: ")}, end=BAD_LOGIN),
    Row(name="echo-of-login", services=(IMAPS,), acts={Moment.LOGIN: echo(b"%t NO you said: ")}, end=BAD_LOGIN),
    Row(
        name="bye-in-login",
        services=(IMAPS,),
        acts={Moment.LOGIN: say(b"* BYE Too many connections\r\n", then=hang_up)},
        end=limited("login"),
    ),
    # imprint and after
    says("421-imprint", SPEAKS_SMTP, Moment.IMPRINT, b"421 4.7.0 too many errors\r\n", failing("imprint")),
    says("id-refused", (IMAPS,), Moment.IMPRINT, b"%t NO no\r\n", failing("imprint")),
    says("500-quit", SPEAKS_SMTP, Moment.QUIT, b"500 no\r\n", GOOD),
    says("no-logout", (IMAPS,), Moment.QUIT, b"%t NO no\r\n", GOOD),
    says("garbage-quit", SPEAKS_SMTP, Moment.QUIT, b"\xff\0\r\n", GOOD),
    says("garbage-quit", (IMAPS,), Moment.QUIT, b"ZZZ9 OK \xff\0\r\n", GOOD),
    # rate limits in the words of Postfix, postscreen and Dovecot
    says(
        "anvil",
        SPEAKS_SMTP,
        Moment.GREETING,
        b"421 4.7.0 mail Error: too many connections from 192.0.2.1\r\n",
        limited("greeting"),
    ),
    says("postscreen", (SMTP,), Moment.GREETING, b"421 4.7.0 Error: too many connections\r\n", limited("greeting")),
    says("postscreen-busy", (SMTP,), Moment.GREETING, b"421 4.3.2 All server ports are busy\r\n", limited("greeting")),
    says(
        "postscreen-screening-busy",
        (SMTP,),
        Moment.GREETING,
        b"421 4.3.2 All screening ports are busy\r\n",
        limited("greeting"),
    ),
    says(
        "anvil-tls-wrapper",
        (SUBMISSIONS,),
        Moment.GREETING,
        b"421 4.7.0 mail Error: too many new TLS sessions from 192.0.2.1\r\n",
        limited("greeting"),
    ),
    says("dovecot-bye", (IMAPS,), Moment.GREETING, b"* BYE Too many connections\r\n", limited("greeting")),
)

POSTFIX_COMPLAINS = b"421 4.3.0 mail.lab.test Server local error\r\n"
JUNK_ANSWERS = b"500 5.5.2 Error: bad syntax\r\n" * 3 + b"221 2.0.0 Bye\r\n"

HEADERS: tuple[Row, ...] = (
    Row(
        name="wants-header",
        services=STARTTLS_FIRST,
        acts={Moment.ACCEPT: wants_header(1.5, POSTFIX_COMPLAINS)},
        end=("proxy_header_timeout", "greeting", "works-with-local-header"),
    ),
    Row(
        name="wants-header",
        services=TLS_FIRST,
        acts={Moment.ACCEPT: wants_header(1.0, POSTFIX_COMPLAINS)},
        end=("proxy_header_timeout", "tls", "works-with-local-header"),
    ),
    Row(
        name="wants-header-mutely",
        services=STARTTLS_FIRST,
        acts={Moment.ACCEPT: wants_header(0.6)},
        end=("proxy_header_timeout", "first_byte", "works-with-local-header"),
    ),
    Row(
        name="wants-header-mutely",
        services=TLS_FIRST,
        acts={Moment.ACCEPT: wants_header(0.6)},
        end=("proxy_header_timeout", "tls", "works-with-local-header"),
    ),
    Row(
        name="recovers",
        services=STARTTLS_FIRST,
        acts={Moment.ACCEPT: at_first(hang_up)},
        end=("no_greeting", "first_byte", "no-byte-or-no-greeting"),
    ),
    Row(
        name="recovers",
        services=TLS_FIRST,
        acts={Moment.ACCEPT: at_first(hang_up)},
        end=("tls_failed", "tls", "handshake-failed"),
    ),
    Row(name="gets-v1", services=ALL, acts={Moment.ACCEPT: wants_header(1.0)}, header=ProxyHeader.V1, end=GOOD),
    Row(name="gets-v2", services=ALL, acts={Moment.ACCEPT: wants_header(1.0)}, header=ProxyHeader.V2, end=GOOD),
    Row(
        name="untrusted",
        services=(IMAPS,),
        acts={Moment.ACCEPT: hang_up},
        header=ProxyHeader.V2,
        end=("proxy_header_untrusted", "tls", "sender-not-trusted"),
    ),
    Row(
        name="untrusted-rst",
        services=(IMAPS,),
        acts={Moment.ACCEPT: after(0.1, reset)},
        header=ProxyHeader.V1,
        end=("proxy_header_untrusted", "tls", "sender-not-trusted"),
    ),
    Row(
        name="unwanted",
        services=STARTTLS_FIRST,
        header=ProxyHeader.V2,
        end=(HEADER_UNWANTED, "hello", "works-without-header"),
    ),
    Row(
        name="unwanted", services=TLS_FIRST, header=ProxyHeader.V2, end=(HEADER_UNWANTED, "tls", "works-without-header")
    ),
    Row(
        name="unwanted-v1",
        services=STARTTLS_FIRST,
        header=ProxyHeader.V1,
        end=(HEADER_UNWANTED, "hello", "works-without-header"),
    ),
    Row(
        name="unwanted-v1",
        services=TLS_FIRST,
        header=ProxyHeader.V1,
        end=(HEADER_UNWANTED, "tls", "works-without-header"),
    ),
    Row(
        name="spoken-to",
        services=STARTTLS_FIRST,
        acts={Moment.ACCEPT: spoken_to(b"220 mail\r\n", JUNK_ANSWERS)},
        end=(HEADER_UNWANTED, "hello", "spoken-to-before-us"),
    ),
    Row(
        name="spoken-to-postscreen",
        services=(SMTP,),
        acts={
            Moment.ACCEPT: spoken_to(b"220-mail\r\n", b"502 5.5.2 Error: command not recognized\r\n221 2.0.0 Bye\r\n")
        },
        end=(HEADER_UNWANTED, "greeting", "spoken-to-before-us"),
    ),
    Row(
        name="spoken-to",
        services=TLS_FIRST,
        acts={Moment.ACCEPT: spoken_to(b"", b"\x15\x03\x01\x00\x02\x02\x46")},
        end=(HEADER_UNWANTED, "tls", "spoken-to-before-us"),
    ),
)
