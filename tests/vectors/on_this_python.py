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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.kit.login_kinds import KINDS
from vault_etl.crypto.fields import FieldName
from vault_etl.kinds.digits import canonical_digits
from vault_etl.kinds.email_address import canonical_email
from vault_etl.kinds.phone import canonical_phone
from vault_etl.kinds.text import canonical_text
from vault_etl.kinds.uuid_text import canonical_uuid


def _failed(case: dict[str, Any]) -> bool:
    try:
        text = bytes.fromhex(case["value"]).decode()
        made: str | None = KINDS[FieldName(case["field"])].canonical(text).hex()
    except ValueError:
        made = None
    return made != case.get("canonical")


SEALED: Final[Mapping[str, Callable[[str], bytes]]] = {
    "digits": canonical_digits,
    "email": canonical_email,
    "phone": canonical_phone,
    "uuid": canonical_uuid,
}
"""The canonical form of sealed text. It asks no package: only the check of a new value may."""


def _differs(case: dict[str, Any]) -> bool:
    if case["expect"] != "accepted":
        return False
    sealed = bytes.fromhex(case["sealed"]).decode()
    return SEALED[case["kind"]](sealed) != bytes.fromhex(case["canonical"])


def _every_code_point() -> str:
    """SHA-256 over the canonical forms of each code point in four places."""
    digest = hashlib.sha256()
    for code_point in range(0x80, 0x34000):
        if not 0xD800 <= code_point <= 0xDFFF:
            c = chr(code_point)
            digest.update(canonical_text(f"a{c}\u0301 \u0323{c}\u0327 \u1100{c}\u11a8 {c}{c}"))
    return digest.hexdigest()


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(Path(__file__).with_name(f"{name}.json").read_bytes())[
        "cases"
    ]
    return cases


def main() -> int:
    """Run the cases of token.json and kind.json, and then every code point."""
    failed = [case["comment"] for case in _cases("token") if _failed(case)]
    failed += [case["comment"] for case in _cases("kind") if _differs(case)]
    for comment in failed:
        print(f"differs: {comment}", file=sys.stderr)  # noqa: T201 - a script
    print(unicodedata.unidata_version, _every_code_point())  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
