"""A manifest is read byte for byte, or not at all."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

import pytest

from vault_etl.audit.checkpoint import Checkpoint, Head, Signature
from vault_etl.audit.segments.segment import SegmentFile, SegmentManifest, segment_of

VAULT: Final = uuid.UUID("3f1c2a5e-8f0b-4f57-9a44-0d5f2c6f1b7e")
LAST: Final = Head(17, bytes(range(32)))
NOTE: Final = Checkpoint(
    VAULT, LAST, (Signature(f"vault-etl/audit/{VAULT}", b"abcd", b"0" * 70),)
).note
MANIFEST: Final = SegmentManifest(
    vault_id=VAULT,
    first=3,
    prev_hash=bytes(32),
    last=LAST,
    last_at=dt.datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=dt.UTC),
    checkpoint=NOTE,
    registrations=("one", "two"),
    entries=SegmentFile(15, 1234, b"\1" * 32),
    checkpoints=SegmentFile(0, 20, b"\2" * 32),
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Times agree to the microsecond; the name says the entries."""
    assert SegmentManifest.parse(MANIFEST.content) == MANIFEST
    assert MANIFEST.name == "audit-000000000003-000000000017"
    assert segment_of(f"{MANIFEST.name}.manifest.json") == MANIFEST.name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{", b"["),
        (b'"first_seq": 3', b'"first_seq": "3"'),
        (b'"first_seq": 3', b'"first_seq":  3'),
        (b'"first_seq": 3,', b""),
        (b'"last_seq": 17', b'"last_seq": 18'),
        (b"00:00.123456Z", b"00:00Z"),
        (b"segment", b"moment"),
        (b'"rows": 15', b'"rows": null'),
        (b"0101", b"01"),
        (b"}\n", b'}, "more": 1}\n'),
    ],
)
def test_a_changed_manifest_is_refused(old: bytes, new: bytes) -> None:
    """Refused are another member, form or spelling, and a checkpoint of another entry than the last."""
    changed = MANIFEST.content.replace(old, new)
    assert changed != MANIFEST.content
    with pytest.raises(ValueError, match="not a manifest of a segment"):
        SegmentManifest.parse(changed)


@pytest.mark.parametrize(
    "name",
    [
        "audit-3-17.manifest.json",
        f"{MANIFEST.name}.entries.jsonl.gz",
        "x.manifest.json",
        "../audit",
    ],
)
def test_other_files_are_no_segments(name: str) -> None:
    """A place may have other files in it."""
    assert segment_of(name) is None
