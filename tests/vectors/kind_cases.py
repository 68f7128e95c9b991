"""Cases of the kinds beside those of token.json: what is sealed, its canonical form, and derived tokens."""

from __future__ import annotations

from typing import Any, Final

from tests.vectors import oracle

KEY: Final = bytes(range(32))

# (text, sealed text, why): the canonical form of an e-mail address is its sealed text in UTF-8.
EMAILS: Final = (
    ("bob@example.com", "bob@example.com", "as it is"),
    (" bob@example.com  ", "bob@example.com", "spaces around it are stripped"),
    ("Bob@Example.COM", "Bob@example.com", "the domain in lower case, the local part as written"),
    ("bob+shop@example.com", "bob+shop@example.com", "a tag makes another mailbox"),
    ("b.o.b@example.com", "b.o.b@example.com", "and so do dots"),
    (".bob..@example.com", ".bob..@example.com", "which may be anywhere, as browsers have it"),
    (
        "!#$%&'*+-/=?^_`{|}~@example.com",
        "!#$%&'*+-/=?^_`{|}~@example.com",
        "every sign of an atom",
    ),
    ("bob@localhost", "bob@localhost", "a domain of one label"),
    ("bob@203.0.113.7", "bob@203.0.113.7", "labels of digits"),
    ("bob@r3---sn.example", "bob@r3---sn.example", "hyphens where A-labels have theirs"),
    ("bob@b\u00fccher.example", "bob@xn--bcher-kva.example", "a domain with an umlaut"),
    ("bob@B\u00dcCHER.example", "bob@xn--bcher-kva.example", "in capitals it is the same"),
    ("bob@bu\u0308cher.example", "bob@xn--bcher-kva.example", "and decomposed"),
    ("bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example", "and as its A-label"),
    ("bob@fa\u00df.example", "bob@xn--fa-hia.example", "IDNA 2008: a sharp s is no ss"),
    ("bob@\uff41\u3002example", "bob@a.example", "full-width letters and stops are mapped"),
    ("bob@exam\u00adple.\u00fc.example", "bob@example.xn--tda.example", "a soft hyphen is dropped"),
    (
        "\u7528\u6237@\u4f8b\u5b50.example",
        "\u7528\u6237@xn--fsqu00a.example",
        "a local part in another script stays in it",
    ),
    ("caf\u00e9@example.com", "caf\u00e9@example.com", "a composed local part"),
    ("cafe\u0301@example.com", "caf\u00e9@example.com", "a decomposed one is composed"),
    ("\u212a@example.com", "K@example.com", "the kelvin sign is a K"),
    ("a" * 64 + "@example.com", "a" * 64 + "@example.com", "the longest local part"),
)

NO_EMAILS: Final = (
    ("bob", "no @"),
    ("@example.com", "no local part"),
    ("bob@", "no domain"),
    ("bob@@example.com", "two of them"),
    ("Bob <bob@example.com>", "a name"),
    ("<bob@example.com>", "angle brackets"),
    ("bob@example.com, eve@example.com", "a list"),
    ("mailto:bob@example.com", "a scheme"),
    ('"bob"@example.com', "a quoted local part"),
    ("bob(work)@example.com", "a comment"),
    ("@relay.example:bob@example.com", "a route"),
    ("bob @example.com", "a space inside"),
    ("bob@[203.0.113.7]", "a literal"),
    ("bob@example.com.", "a dot at the end"),
    ("bob@\u00fc.example.", "the same, in another script"),
    ("bob@.example", "an empty label"),
    ("bob@\u00fc..example", "the same"),
    ("bob@-a.example", "a hyphen at the start of a label"),
    ("bob@a_b.example", "an underscore"),
    ("bob@" + "a" * 64 + ".example", "a label of 64"),
    ("a" * 65 + "@example.com", "a local part of 65"),
    ("\u00e9" * 33 + "@example.com", "a local part of 66 octets"),
    ("bob@" + "a." * 124 + "abc", "an address of 255"),
    ("bob\uff20example.com", "a full-width @"),
    ("bob\u200b@example.com", "something invisible"),
    ("bob\u00a0@example.com", "a no-break space"),
    ("a\u037eb@example.com", "a Greek question mark, which composes to a semicolon"),
    ("bob@\u2603.example", "a snowman is no letter"),
    ("bob@\u1e9e.example", "a letter of Unicode 5.1: its mapping has changed"),
    ("bob\t@example.com", "a tab"),
    ("\tbob@example.com", "a tab is no space"),
)

# The canonical form of a telephone number is its E.164 in ASCII.
PHONES: Final = (
    ("+41446681800", "+41446681800", "as it is"),
    ("+41 44 668 18 00", "+41446681800", "in groups"),
    (" +1 (650) 253-0000 ", "+16502530000", "with an area code in brackets"),
    ("+44.20.7031-3000", "+442070313000", "with other separators"),
    ("+39 06 1234567", "+39061234567", "the zero of an Italian number is a part of it"),
)

NO_PHONES: Final = (
    ("", "nothing"),
    ("+", "a plus"),
    ("044 668 18 00", "no country, and no region"),
    ("tel:+41446681800", "a scheme"),
    ("+41 44 668 18 00 ext. 5", "an extension"),
    ("+1 800 FLOWERS", "letters"),
    ("+1 253 0000", "no area code"),
    ("+41 112", "an emergency number"),
    ("+999 123 456 789", "no such country"),
    ("+41446681800, +41446681801", "a list"),
    ("++41446681800", "two pluses"),
    ("41446681800+", "a plus at the end"),
    ("+41 44 668 18 00/01", "a slash: two numbers?"),
    ("+41\u00a0446681800", "a no-break space"),
    ("\uff0b41446681800", "a full-width plus"),
    ("+\u0664\u06611446681800", "Arabic-Indic digits"),
)

BYTES: Final = "f81d4fae7dec11d0a76500a0c91e6bf6"
UUIDS: Final = (
    ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", BYTES, "as RFC 9562 writes it"),
    ("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", BYTES, "in capitals"),
    (" f81d4fae-7dec-11d0-a765-00a0c91e6bf6 ", BYTES, "spaces around it are stripped"),
    ("f81d4fae7dec11d0a76500a0c91e6bf6", BYTES, "without dashes"),
    ("{F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6}", BYTES, "in braces"),
    ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", BYTES, "as a URN"),
    ("URN:UUID:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", BYTES, "the same in capitals"),
    ("11111111-2222-3333-4444-555555555555", "11111111222233334444555555555555", "any version"),
)

NO_UUIDS: Final = (
    ("", "nothing"),
    ("f81d4fae-7dec-11d0-a765-00a0c91e6bf", "a digit too few"),
    ("f81d4fae-7dec-11d0-a765-00a0c91e6bf60", "a digit too many"),
    ("f81d4fae-7dec-11d0-a76500a0c91e6bf6", "a dash too few"),
    ("f81d4fae-7dec11d0-a765-00a0-c91e6bf6", "dashes elsewhere"),
    ("{f81d4fae7dec11d0a76500a0c91e6bf6}", "braces without dashes"),
    ("{f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "one brace"),
    ("urn:uuid:f81d4fae7dec11d0a76500a0c91e6bf6", "a URN without dashes"),
    ("urn:uuid:{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}", "a URN in braces"),
    ("(f81d4fae-7dec-11d0-a765-00a0c91e6bf6)", "brackets"),
    ("g81d4fae-7dec-11d0-a765-00a0c91e6bf6", "no hex digit"),
    ("\uff0681d4fae-7dec-11d0-a765-00a0c91e6bf6", "a full-width sign"),
    ("\u066181d4fae-7dec-11d0-a765-00a0c91e6bf6", "an Arabic-Indic digit"),
    ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6\n", "a line feed is no space"),
)

DIGITS: Final = (
    ("4111111111111111", "4111111111111111", "a card"),
    ("4111 1111 1111 1111", "4111111111111111", "in groups"),
    ("4111-1111-1111-1111", "4111111111111111", "with dashes"),
    ("756.1234.5678.97", "7561234567897", "with dots"),
    ("123.456.789-09", "12345678909", "with both"),
    (" 12 - 34  56 ", "123456", "with several between two groups, and spaces around"),
    ("0012", "0012", "zeros at the front are kept"),
    ("7", "7", "one digit"),
    ("9" * 64, "9" * 64, "the most digits"),
)

NO_DIGITS: Final = (
    ("", "nothing"),
    ("-", "a separator alone"),
    ("-12", "a sign"),
    ("12-", "a separator at the end"),
    (".5", "a separator at the start"),
    ("12,34", "a comma"),
    ("12/34", "a slash"),
    ("12_34", "an underscore"),
    ("1e3", "an exponent"),
    ("DE12", "letters"),
    ("9" * 65, "a digit too many"),
    ("\uff11\uff12", "full-width digits"),
    ("\u0661\u0662", "Arabic-Indic digits"),
    ("1\u00b2", "a superscript"),
    ("12\u00a034", "a no-break space"),
    ("12\t34", "a tab"),
)

# (kind, form, sealed text, canonical derived form, why)
DERIVED: Final = (
    ("ip", "network", "203.0.113.7", "00000000000000000000ffffcb007100", "the /24"),
    ("ip", "network", "203.0.113.255", "00000000000000000000ffffcb007100", "the same network"),
    ("ip", "network", "::ffff:203.0.113.7", "00000000000000000000ffffcb007100", "mapped"),
    ("ip", "network", "203.0.112.7", "00000000000000000000ffffcb007000", "its neighbour"),
    ("ip", "network", "2001:db8:1:2::3", "20010db8000100000000000000000000", "the /48"),
    ("ip", "network", "2001:db8:1:ffff::", "20010db8000100000000000000000000", "the same network"),
    ("ip", "network", "127.0.0.1", "00000000000000000000ffff7f000000", "of a placeholder too"),
    ("email", "domain", "Bob@example.com", b"example.com".hex(), "the domain"),
    ("email", "domain", "a@xn--bcher-kva.example", b"xn--bcher-kva.example".hex(), "its A-label"),
)


def kind_cases() -> list[dict[str, Any]]:
    """All of them."""
    cases = [
        _accepted("email", text, sealed, sealed.encode().hex(), comment)
        for text, sealed, comment in EMAILS
    ]
    cases += [
        _accepted("phone", text, sealed, sealed.encode().hex(), comment)
        for text, sealed, comment in PHONES
    ]
    cases += [_accepted("uuid", text, text, form, comment) for text, form, comment in UUIDS]
    cases += [
        _accepted("digits", text, text, form.encode().hex(), comment)
        for text, form, comment in DIGITS
    ]
    refused = {"email": NO_EMAILS, "phone": NO_PHONES, "uuid": NO_UUIDS, "digits": NO_DIGITS}
    cases += [
        {"expect": "refused", "comment": comment, "kind": kind, "text": text}
        for kind, texts in refused.items()
        for text, comment in texts
    ]
    return cases + [_derived(*case) for case in DERIVED]


def _accepted(kind: str, text: str, sealed: str, canonical: str, comment: str) -> dict[str, Any]:
    return {
        "expect": "accepted",
        "comment": comment,
        "kind": kind,
        "text": text,
        "sealed": sealed.encode().hex(),
        "canonical": canonical,
    }


def _derived(kind: str, form: str, text: str, canonical: str, comment: str) -> dict[str, Any]:
    return {
        "expect": "derived",
        "comment": comment,
        "kind": kind,
        "form": form,
        "text": text,
        "key": KEY.hex(),
        "canonical": canonical,
        "token": str(oracle.token(KEY, f"{kind}/{form}", bytes.fromhex(canonical))),
    }
