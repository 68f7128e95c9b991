"""The kind `uuid`: one UUID, in the spellings of RFC 9562 and of the programs that write it otherwise."""

from __future__ import annotations

import re
from typing import Final

from vault_etl.kinds.kind import Kind
from vault_etl.kinds.text import mask_end

_DASHED: Final = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_UUID: Final = re.compile(
    rf"[0-9A-Fa-f]{{32}}|{_DASHED}|\{{{_DASHED}\}}|[Uu][Rr][Nn]:[Uu][Uu][Ii][Dd]:{_DASHED}"
)


def canonical_uuid(text: str) -> bytes:
    """Return the 16 bytes of a UUID, of any version and variant, in the order of its text.

    U+0020 around it is stripped. Raises ValueError for every other spelling than: 32 hex digits, alone or in
    groups of 8-4-4-4-12; and such groups in braces, or after `urn:uuid:`.
    """
    text = text.strip(" ")
    if _UUID.fullmatch(text):
        digits = text.strip("{}").lower().removeprefix("urn:uuid:").replace("-", "")
        return bytes.fromhex(digits)
    message = "not the text of one UUID"
    raise ValueError(message)


def _read(text: str) -> tuple[str, bytes]:
    return text, canonical_uuid(text)


def _mask(text: str) -> str:
    return mask_end(canonical_uuid(text).hex())


UUID: Final = Kind(
    name="uuid",
    version=1,
    options=(),
    max_code_points=64,  # the longest spelling has 45; the rest allows spaces around it
    reason="not_a_uuid",
    reason_too_long="not_a_uuid",
    hint="a value is one UUID: 32 hex digits, with or without dashes",
    read=_read,
    canonical=canonical_uuid,
    mask=_mask,
    is_ascii=True,
    placeholders=(
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ),
)
