"""Checks the canonical forms on the Python that runs this file, which needs no package installed.

    PYTHONPATH=. python3.13 -m tests.vectors.on_this_python

Prints what differs and exits 1, or prints the version of Unicode and a digest of what every code point
of the planes in use becomes, between others: equal on every Python.
"""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

from vault_etl.crypto.fields import FieldName
from vault_etl.event.field_kinds import KINDS
from vault_etl.kinds.text import canonical_text


def _failed(case: dict[str, Any]) -> bool:
    try:
        text = bytes.fromhex(case["value"]).decode()
        made: str | None = KINDS[FieldName(case["field"])].canonical(text).hex()
    except ValueError:
        made = None
    return made != case.get("canonical")


def _every_code_point() -> str:
    """SHA-256 over the canonical forms of each code point in four places."""
    digest = hashlib.sha256()
    for code_point in range(0x80, 0x34000):
        if not 0xD800 <= code_point <= 0xDFFF:
            c = chr(code_point)
            digest.update(canonical_text(f"a{c}\u0301 \u0323{c}\u0327 \u1100{c}\u11a8 {c}{c}"))
    return digest.hexdigest()


def main() -> int:
    """Run the cases of token.json, and then every code point."""
    document = json.loads(Path(__file__).with_name("token.json").read_bytes())
    failed = [case["comment"] for case in document["cases"] if _failed(case)]
    for comment in failed:
        print(f"differs: {comment}", file=sys.stderr)  # noqa: T201 - a script
    print(unicodedata.unidata_version, _every_code_point())  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
