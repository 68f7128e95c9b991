"""The kind `phone`: one telephone number in the form of E.164, `+` and up to 15 digits.

The package `phonenumbers` reads the spelling of a new value, by the numbering plans of its version. The number
that is sealed is in E.164, which needs no plan: a later version changes no stored value.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from vault_etl.kinds.kind import Kind
from vault_etl.kinds.text import mask_end

_SPELLING: Final = re.compile(r"\+?[0-9 .()-]+")
"""Digits, the separators that people write between them, and a plus: no letters, no extension.

A slash is refused: it separates an area code as well as two numbers."""
_E164: Final = re.compile(r"\+[1-9][0-9]{5,14}")


def phone_kind(region: str | None) -> Kind:
    """Return the kind of numbers whose national spellings are of this region, in ISO 3166.

    Without a region, a number must have its plus and country code. A text is refused if its number, written in
    E.164, is read as another number: `+41 00 44 668 18 00` has one zero too many for a trunk prefix. Raises
    ValueError for an unknown region.
    """
    if region is not None:
        import phonenumbers  # noqa: PLC0415 - 130 ms, which most commands do not need

        if region not in phonenumbers.SUPPORTED_REGIONS:
            message = "the option 'region' must be a country code in capitals, such as 'CH'"
            raise ValueError(message)

    def read(text: str) -> tuple[str, bytes]:
        e164 = _e164(text, region)
        if e164 is not None and (e164 == text or e164 == _e164(e164, region)):
            return e164, canonical_phone(e164)
        message = "not the text of one telephone number"
        raise ValueError(message)

    return Kind(
        name="phone",
        version=1,
        options=() if region is None else (("region", region),),
        max_code_points=64,
        reason="not_a_phone",
        reason_too_long="not_a_phone",
        hint="a value is one telephone number, best with its plus and country code; no letters and no extension",
        read=read,
        canonical=canonical_phone,
        mask=_mask,
        is_ascii=True,
        placeholders=("+10000000000",),
    )


def canonical_phone(text: str) -> bytes:
    """Return the ASCII of a number in E.164. Raises ValueError for every other spelling."""
    if _E164.fullmatch(text):
        return text.encode("ascii")
    message = "not a number in E.164"
    raise ValueError(message)


def _e164(text: str, region: str | None) -> str | None:
    """Return the number in E.164; None if the text is no possible number.

    A number is possible if it is as long as a number of its country may be. Its range need not be assigned,
    since countries assign ranges faster than libraries are upgraded. A number without its area code is not
    possible: each area has one.
    """
    import phonenumbers  # noqa: PLC0415 - see above

    if not _SPELLING.fullmatch(text.strip(" ")):
        return None
    with contextlib.suppress(phonenumbers.NumberParseException):
        number = phonenumbers.parse(text, region)
        reason = phonenumbers.is_possible_number_with_reason(number)
        if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return e164 if _E164.fullmatch(e164) else None
    return None


def _mask(text: str) -> str:
    return mask_end(canonical_phone(text).decode("ascii"))
