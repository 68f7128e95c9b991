"""The mask of a value, for callers that may see it masked only: enough to compare, not enough to know."""

from __future__ import annotations

from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.fields import Field

_SHOWN_CHARACTERS: Final = 2
_SHORTEST: Final = 8
"""Values shorter than this are masked completely."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def masked(field: Field, value: Pii) -> Pii:
    """Show the last octet of an address, or the last two characters of a device id, after stars.

    The number of stars does not tell the length. An IPv6 address shows its last octet in hex. Raises
    ValueError for text that is not an address.
    """
    if field is Field.IP:
        packed = canonical(field, value)
        shown = f"*.*.*.{packed[-1]}" if packed.startswith(_MAPPED) else f"*:*{packed[-1]:02x}"
        return Pii.of_text(shown)
    text = value.expose().decode()
    return Pii.of_text("*" + (text[-_SHOWN_CHARACTERS:] if len(text) >= _SHORTEST else ""))
