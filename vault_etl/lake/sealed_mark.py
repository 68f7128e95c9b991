"""The mark of a sealed part, while its set is unfinished: how far the sources are sealed, and a MAC of the part.

A second run continues after marked parts. Without the source key no caller can make a mark, so a part that was changed
in the meantime is not signed. Finishing the set deletes the marks.

    line 1    {"digest":…,"last":…,"lines":…,"sha256":…}, the SHA-256 of the part among them
    line 2    HMAC(source key, "vault-etl/1/sealed-part" ‖ set id, 16 bytes ‖ name of the part ‖ line 1), in hex
"""

from __future__ import annotations

import hmac
import json
import uuid
from typing import Final

from vault_etl.archives.manifest import Part
from vault_etl.crypto.digest import hmac_sha256
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.lake.source_records import Reached

MAX_MARK_BYTES: Final = 4_096
ENDING: Final = ".sealed"
_LABEL: Final = b"vault-etl/1/sealed-part"


class SealedMarks:
    """Makes and reads the marks of the parts of one set."""

    def __init__(self, key: KeyMaterial, set_id: uuid.UUID) -> None:
        self._key = key
        self._set_id = set_id

    def name(self, part: Part) -> str:
        """Return the name of the mark. Two runs that write one part write two marks, of which one fits the part."""
        return f"{part.name.removesuffix('.parquet')}.{part.sha256.hex()[:8]}{ENDING}"

    def encode(self, part: Part, reached: Reached) -> bytes:
        """Return the mark of a part."""
        document = {
            "digest": reached.digest.hex(),
            "last": reached.last,
            "lines": reached.lines,
            "sha256": part.sha256.hex(),
        }
        line = json.dumps(document, separators=(",", ":")).encode()
        return b"%b\n%b\n" % (line, self._mac(part, line).hex().encode())

    def parse(self, part: Part, mark: bytes) -> Reached | None:
        """Return how far the sources are sealed; None for a mark that is not of this part and set."""
        line, _, rest = mark.partition(b"\n")
        if not hmac.compare_digest(rest, self._mac(part, line).hex().encode() + b"\n"):
            return None
        found = json.loads(line)
        if found["sha256"] != part.sha256.hex():
            return None
        return Reached(found["last"], found["lines"], bytes.fromhex(found["digest"]))

    def _mac(self, part: Part, line: bytes) -> bytes:
        name = part.name.encode()
        return hmac_sha256(self._key.expose(), _LABEL, self._set_id.bytes, name, line)
