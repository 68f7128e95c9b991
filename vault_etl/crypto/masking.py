"""What is left of a value for those who may see it masked only: enough to compare, not to know."""

from __future__ import annotations

from typing import Final

from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import canonical
from vault_etl.crypto.fields import Field

_SHOWN_CHARACTERS: Final = 2
_SHORTEST: Final = 8
"""Of fewer characters two would be too many to show."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def masked(field: Field, value: Pii) -> Pii:
    """The last octet of an address, or the last two characters of a device id; stars before them.

    The stars do not count what they stand for. An IPv6 address shows its last octet in hex. Raises
    ValueError for an address that is none.
    """
    if field is Field.IP:
        packed = canonical(field, value)
        shown = f"*.*.*.{packed[-1]}" if packed.startswith(_MAPPED) else f"*:*{packed[-1]:02x}"
        return Pii.of_text(shown)
    text = value.expose().decode()
    return Pii.of_text("*" + (text[-_SHOWN_CHARACTERS:] if len(text) >= _SHORTEST else ""))
