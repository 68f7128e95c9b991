"""The commands of docs/operations/retention.md, in their order; and the vector of docs/formats.md."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Final

from tests.audit.segments.site import Site
from tests.kit.format_examples import EXAMPLES
from tests.kit.pages import documented

DOCS: Final = Path(__file__).parents[3] / "docs"
ROLES: Final = {"quarantine discard": "erase", "audit trim": "admin"}
COMMANDS: Final = 8


def test_the_page_was_executed(untrimmed: Site) -> None:
    """Each command exits 0, with a folder in the place of the bucket."""
    blocks = documented("operations/retention.md", "sh")
    lines = [
        line for block in blocks for line in block.splitlines() if line.startswith("vault-etl")
    ]
    assert len(lines) == COMMANDS
    files = {
        "s3://worm/audit": str(untrimmed.vault.home / "worm"),
        "audit.der": str(untrimmed.key),
        "receipt.txt": str(untrimmed.receipt),
    }
    for line in lines:
        words = [files.get(word, word) for word in shlex.split(line, comments=True)[1:]]
        role = ROLES.get(" ".join(words[:2]), "audit")
        untrimmed.vault.ok(role, *words)
    assert untrimmed.vault.count("audit_segments") == 1


def test_the_vector_of_a_record(old: Site) -> None:
    """The database makes the text whose SHA-256 is the ticket."""
    found = {
        name: value.strip('"').replace(" ", "") for name, value in EXAMPLES["audit segment"].items()
    }
    ticket = found.pop("ticket")
    ((text,),) = old.vault.sql(
        "SELECT vault_etl.audit_segment_text(ROW(l, f, decode(p, 'hex'), decode(h, 'hex'),"
        " to_timestamp(a::bigint / 1000000), k, decode(s, 'hex'), decode(m, 'hex'), o, 9)::audit_segments)"
        " FROM (VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)) AS v (f, l, p, h, a, k, s, m, o)",
        *found.values(),
    )
    assert hashlib.sha256(text.encode()).hexdigest() == ticket
