"""The kind `email`: one address of a mailbox, `local@domain`.

The local part is kept as written, case included: RFC 5321 (2.4) lets only the receiving host decide that two
spellings are one mailbox. The domain is made ASCII and lower-case. Domains in other scripts follow UTS 46
(not transitional) and IDNA 2008, by the package `idna`, which reads new values
only: a sealed value has its domain in ASCII.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from vault_etl.kinds.blank import BLANK_CHARACTERS
from vault_etl.kinds.kind import DerivedForm, Kind
from vault_etl.kinds.text import composed, is_old, mask_end

MAX_OCTETS: Final = 254
"""The longest address that a host must take: a path of RFC 5321 (4.5.3.1.3) without its angle brackets."""

_LOCAL: Final = re.compile(
    rf"(?:[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]|[^\x00-\x7f\ud800-\udfff{BLANK_CHARACTERS}])+"
)
"""The characters that a browser's `<input type=email>` takes, and visible ones that are not ASCII (RFC 6531)."""
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_LOCAL_OCTETS: Final = 64


def canonical_email(text: str) -> bytes:
    """Return the UTF-8 of the address: the local part composed (as a text is), and the domain in lower case.

    The domain must be ASCII. U+0020 around the address is stripped. Raises ValueError for comments, quoted
    local parts, routes, display names, literals such as [203.0.113.7], and a dot at the end of the domain.
    """
    local, at, domain = text.strip(" ").rpartition("@")
    local = composed(local)
    if _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain):
        form = f"{local}{at}{domain.lower()}".encode()
        if len(form) <= MAX_OCTETS and len(local.encode()) <= _MAX_LOCAL_OCTETS:
            return form
    message = "not the text of one mailbox"
    raise ValueError(message)


def _read(text: str) -> tuple[str, bytes]:
    """Return the canonical form, as text and as bytes. A domain in another script gets its ASCII form here, once."""
    local, at, domain = text.strip(" ").rpartition("@")
    form = canonical_email(local + at + _ascii_domain(domain))
    return form.decode(), form


def _ascii_domain(domain: str) -> str:
    """Return the domain in ASCII. Raises ValueError if it holds a character that Unicode 3.2 did not assign.

    The mapping of such old characters does not change: that of U+1E9E, of Unicode 5.1, did.
    """
    if domain.isascii():
        return domain
    import idna  # noqa: PLC0415 - 10 ms, which few processes need

    if len(domain) <= MAX_OCTETS and all(map(is_old, domain)):
        with contextlib.suppress(ValueError):  # whose text has the domain
            return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    message = "not the text of one domain"
    raise ValueError(message)


def _domain(text: str) -> bytes:
    return canonical_email(text).rpartition(b"@")[2]


def _mailbox_at(domain: str) -> str:
    """Return a mailbox of the domain, with the shortest local part: an address has 254 octets in all."""
    text, _ = _read(f"a@{domain.strip(' ')}")
    return text


def _mask(text: str) -> str:
    local, _, _ = canonical_email(text).decode().rpartition("@")
    return f"{mask_end(local)}@*"


EMAIL: Final = Kind(
    name="email",
    version=1,
    options=(),
    max_code_points=320,
    reason="not_an_email",
    reason_too_long="not_an_email",
    hint="a value is one e-mail address, without a name or a comment; the part before the @ is case-sensitive",
    read=_read,
    canonical=canonical_email,
    mask=_mask,
    derived=(
        DerivedForm(
            name="domain",
            leaks="records of one mail domain have equal tokens: the frequent tokens are the known providers,"
            " and a rare token is an employer, a family or one person",
            hint="a value is one e-mail address, or a whole domain such as example.com",
            canonical=_domain,
            value_of=_mailbox_at,
        ),
    ),
)
