"""Files and checkpoints that others store in the place of segments neither stop a trim nor silence an export."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.segments.site import Site
from tests.kit.fakes.progress import FakeProgress
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head
from vault_etl.audit.postgres_proof import PostgresProver
from vault_etl.audit.segments.export import LogExporter
from vault_etl.audit.segments.files import SegmentFiles
from vault_etl.audit.segments.postgres import PostgresTrimmer
from vault_etl.audit.segments.segment import MANIFEST, SegmentManifest
from vault_etl.audit.segments.trim import TrimLog
from vault_etl.base.errors import DataError
from vault_etl.platform.postgres import Database
from vault_etl.platform.store_folder import FolderArchive

STORE = "SELECT audit_checkpoint(%s, %s, %s, %s)"
NOISE = (b"abcd", b"\x30\x44\x02\x20" + b"\x11" * 32 + b"\x02\x20" + b"\x11" * 32)
ENDLESS = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
ANOTHER = (
    "INSERT INTO audit_checkpoints (seq, hash, key_hash, signature)"
    " SELECT seq, sha256('no'), key_hash, signature FROM audit_checkpoints WHERE seq = 2"
)
BY_THE_OWNER = "BEGIN; SET LOCAL session_replication_role = replica; {}; COMMIT"


def store(site: Site, seq: int, *, signed: bool) -> None:
    """Store a checkpoint of an old entry, by the role reveal: noise, or one that the audit key has signed."""
    ((hash_,),) = site.vault.sql("SELECT hash FROM audit_log WHERE seq = %s", seq)
    made = NOISE
    if signed:
        (line,) = Checkpoint.parse(site.sign(Head(seq, bytes(hash_)))).signatures
        made = (line.key_hash, line.signature)
    site.vault.sql(STORE, seq, bytes(hash_), *made, role="reveal")


def test_checkpoints_that_came_after_the_export_stop_no_trim(untrimmed: Site) -> None:
    """Checkpoints of any signer belong to the segment's entries, and are deleted with them."""
    store(untrimmed, 2, signed=False)
    store(untrimmed, 3, signed=True)
    done = untrimmed.trim("--reason", "90 days", "--yes")
    assert done.code == 0, done.stderr
    assert "and are deleted with it: 2\n" in done.stderr
    left = "SELECT seq FROM audit_checkpoints WHERE seq <= %s"
    assert untrimmed.vault.sql(left, untrimmed.end) == [(untrimmed.end,)]
    assert untrimmed.verify().code == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DELETE FROM audit_checkpoints WHERE seq = 2", "a checkpoint of entry 2 in .* is not in"),
        (
            ANOTHER,
            "the table has a checkpoint of another entry 2",
        ),
    ],
    ids=["one is gone", "one is of another entry"],
)
def test_checkpoints_of_another_log_stop_a_trim(untrimmed: Site, change: str, problem: str) -> None:
    """Only the owner can make such a checkpoint, and a trim does not delete what signs another log."""
    store(untrimmed, 2, signed=True)
    place = untrimmed.vault.home / "again"
    untrimmed.vault.ok("audit", "audit", "export", "--to", str(place))
    assert untrimmed.trim("--dry-run").code == 0
    untrimmed.vault.sql(BY_THE_OWNER.format(change))
    trimmer = PostgresTrimmer(Database(untrimmed.vault.database_url("admin")))
    trim = TrimLog(trimmer, [AuditKey(untrimmed.key.read_bytes())], FakeProgress())
    with pytest.raises(DataError, match=problem):
        list(trim(SegmentFiles(FolderArchive(place)).segments(), ENDLESS, None))


Change = Callable[[Site, SegmentManifest], SegmentManifest]
FORGED: dict[str, tuple[Change, str]] = {
    "no key signed it": (
        lambda _, true: signed_as(
            dataclasses.replace(true, last=Head(99_999_999, bytes(32))), true.checkpoint
        ),
        "no key that was given signed its end",
    ),
    "the log has no such entry": (
        lambda site, true: dataclasses.replace(
            true,
            last=Head(99_999_999, bytes(32)),
            checkpoint=site.sign(Head(99_999_999, bytes(32))),
        ),
        "the log has another entry 99999999, or none",
    ),
    "the log has another entry": (
        lambda site, true: dataclasses.replace(
            true,
            last=Head(true.last.seq, bytes(32)),
            checkpoint=site.sign(Head(true.last.seq, bytes(32))),
        ),
        "the log has another entry",
    ),
    "it is younger than the entry": (
        lambda _, true: dataclasses.replace(true, last_at=ENDLESS),
        "the log has another entry",
    ),
}


def signed_as(manifest: SegmentManifest, note: str) -> SegmentManifest:
    """The note with the signature lines of another note."""
    lines = Checkpoint.parse(note).signatures
    made = Checkpoint(manifest.vault_id, manifest.last, lines)
    return dataclasses.replace(manifest, checkpoint=made.note)


@pytest.mark.parametrize(("change", "problem"), FORGED.values(), ids=FORGED)
def test_a_forged_manifest_is_named(
    trimmed: Site, tmp_path: Path, change: Change, problem: str
) -> None:
    """An export names it and writes nothing behind it, and a trim names it, which it is not too young for."""
    place, more = tmp_path / "place", tmp_path / "more"
    shutil.copytree(trimmed.place, place)
    key = AuditKey(trimmed.key.read_bytes())
    prover = PostgresProver(Database(trimmed.vault.database_url("audit")))

    def export(to: Path) -> list[SegmentManifest]:
        with prover.snapshot() as snapshot:
            store = SegmentFiles(FolderArchive(to))
            return list(LogExporter(snapshot, [key], store, FakeProgress())(ENDLESS))

    (true,) = export(more)
    forged = change(trimmed, true)
    file = place / f"{forged.name}{MANIFEST}"
    file.write_bytes(forged.content)
    before = sorted(place.iterdir())
    with pytest.raises(DataError, match=problem) as refused:
        export(place)
    assert str(file) in str(refused.value)
    assert sorted(place.iterdir()) == before
    trim = TrimLog(
        PostgresTrimmer(Database(trimmed.vault.database_url("admin"))), [key], FakeProgress()
    )
    a_year_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    with pytest.raises(DataError, match=problem):
        list(trim(SegmentFiles(FolderArchive(place)).segments(), a_year_ago, None))
    file.unlink()
    assert export(place) == [true]


def test_the_timer_of_an_export_fails(trimmed: Site, tmp_path: Path) -> None:
    """Exit 65, not "no entry of that age", for a file that any writer of the place can make."""
    place = tmp_path / "place"
    shutil.copytree(trimmed.place, place)
    (recorded,) = SegmentFiles(FolderArchive(place)).segments()
    true = recorded.manifest
    end = Head(99_999_999, bytes(32))
    forged = dataclasses.replace(true, first=true.last.seq + 1, prev_hash=true.last.hash, last=end)
    forged = signed_as(forged, true.checkpoint)
    (place / f"{forged.name}{MANIFEST}").write_bytes(forged.content)
    asked = ("audit", "export", "--to", str(place), "--public-key", str(trimmed.key))
    refused = trimmed.vault.run("audit", *asked)
    assert (refused.code, refused.stdout) == (65, "")
    assert f"{forged.name}{MANIFEST} is not of a segment of this log" in refused.stderr
