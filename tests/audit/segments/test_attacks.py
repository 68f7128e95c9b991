"""Changes of a trimmed log, or of its segments, are found: by the record in the chain, and by the files."""
# ruff: noqa: S608 - statements of ours

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import psycopg2.extras
import pytest

from tests.audit.logbook import DROP_TRIGGERS, REBUILD
from tests.audit.segments.site import Site
from tests.kit.sessions import connect
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.postgres_proof import PostgresSnapshot
from vault_etl.audit.proof import Proof, Severity
from vault_etl.audit.segments.files import SegmentFiles, StoredSegmentFiles
from vault_etl.audit.verify_log import verify_log
from vault_etl.base.errors import DataError
from vault_etl.platform.store_folder import FolderArchive

KEPT = "(SELECT min(seq) FROM reveal_policies)"
REHASH = "UPDATE audit_log AS l SET hash = audit_hash(l) WHERE seq = {seq}"
FORGED = """
INSERT INTO audit_segments
SELECT {end}, 1, (SELECT prev_hash FROM audit_log WHERE seq = 1), l.hash, l.logged_at, 0, sha256(''),
    sha256('no'), '/nowhere', {under}
FROM audit_log AS l WHERE l.seq = {end};
DELETE FROM audit_disclosed; DELETE FROM audit_amounts;
DELETE FROM audit_checkpoints WHERE seq < {end};
DELETE FROM audit_log WHERE seq <= {end}
"""

TRIMMED = {
    "an entry that stays is deleted": "DELETE FROM audit_log WHERE seq = {unfinished}",
    "an entry that stays is another one": (
        "UPDATE audit_log SET reason = 'no' WHERE seq = {unfinished};"
        + REHASH.format(seq="{unfinished}")
    ),
    "the policy is another one, and so its entry": (
        "UPDATE reveal_policies SET document = '{{}}';"
        "UPDATE audit_log SET ticket = encode(sha256('{{}}'), 'hex') WHERE seq = "
        + KEPT
        + ";"
        + REHASH.format(seq=KEPT)
    ),
    "an entry is put back": (
        "INSERT INTO audit_log SELECT 2, logged_at, gen_random_uuid(), phase, login, client_address, actor, host,"
        " action, record_id, fields, purpose, ticket, reason, decision, error_code, prev_hash, hash, written_by"
        " FROM audit_log WHERE seq = {unfinished};" + REHASH.format(seq="2")
    ),
    "the record is deleted": "DELETE FROM audit_segments",
    "the record says another end": "UPDATE audit_segments SET last_seq = last_seq - 1",
    "the record says another hash": "UPDATE audit_segments SET last_hash = sha256('no')",
    "the record says another place": "UPDATE audit_segments SET location = '/nowhere'",
    "the record says other files": "UPDATE audit_segments SET manifest_sha256 = sha256('no')",
    "the record is under another entry": "UPDATE audit_segments SET seq = seq + 1",
    "the record is a second one": (
        "INSERT INTO audit_segments SELECT last_seq + 1, last_seq + 1, last_hash, sha256('no'), last_at, 0,"
        " sha256(''), sha256(''), location, seq + 1 FROM audit_segments"
    ),
    "the entry of the record is deleted, and the chain made again": (
        "DELETE FROM audit_log WHERE seq = (SELECT seq FROM audit_segments); DELETE FROM audit_segments;"
        + REBUILD.format(first="{after}")
    ),
}
UNTRIMMED = {
    "entries are deleted under a record that no entry made": (FORGED, "{last}"),
    "entries are deleted under the record of another entry": (FORGED, "{end} + 1"),
}


def proof(
    site: Site, change: str, *, given: Sequence[StoredSegmentFiles] = (), **values: object
) -> Proof:
    """Return the findings of `audit verify` after a change, which is rolled back."""
    key = AuditKey(site.key.read_bytes())
    with closing(connect(site.vault.database_url("admin"))) as connection:
        psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
        with connection.cursor() as cursor:
            cursor.execute(DROP_TRIGGERS)
            cursor.execute(
                "ALTER TABLE audit_segments DROP CONSTRAINT audit_segments_check;"
                + change.format(
                    end=site.end, after=site.end + 1, unfinished=site.unfinished, **values
                )
            )
            found = verify_log(PostgresSnapshot(cursor), [key], given=given)
        connection.rollback()
    return found


def segments(place: Path) -> Sequence[StoredSegmentFiles]:
    """The segments in a folder."""
    return SegmentFiles(FolderArchive(place)).segments()


def test_an_unchanged_trimmed_log_holds(trimmed: Site) -> None:
    """Only the changes of the other tests are found, not the way in which they are made."""
    assert proof(trimmed, "SELECT 1").ok


@pytest.mark.parametrize("change", TRIMMED.values(), ids=TRIMMED)
@pytest.mark.parametrize("whole", [False, True], ids=["alone", "with the segment"])
def test_a_trimmed_log_that_was_changed_does_not_hold(
    trimmed: Site, change: str, *, whole: bool
) -> None:
    """A changed log does not hold, whether its segment is read or not."""
    found = proof(trimmed, change, given=segments(trimmed.place) if whole else ())
    assert not found.ok
    assert found.counts[Severity.TAMPERED]


@pytest.mark.parametrize(("change", "under"), UNTRIMMED.values(), ids=UNTRIMMED)
def test_a_forged_record_does_not_hold(old: Site, change: str, under: str) -> None:
    """A forged row alone deletes no entry: the entry of the log that it is bound to says another thing."""
    ((last,),) = old.vault.sql("SELECT seq FROM audit_head")
    found = proof(old, change.replace("{under}", under), last=last)
    assert found.counts[Severity.TAMPERED]


def test_the_end_of_a_segment_needs_its_signature(trimmed: Site) -> None:
    """The hash on the record is not enough: without a checkpoint of the key the log is not proven."""
    found = proof(trimmed, "DELETE FROM audit_checkpoints WHERE seq = {end}")
    assert (found.ok, found.counts[Severity.TAMPERED]) == (False, 0)
    assert "no checkpoint of a given key signs it" in str(found.problem)
    assert proof(
        trimmed, "DELETE FROM audit_checkpoints WHERE seq = {end}", given=segments(trimmed.place)
    ).ok


def test_no_more_is_fetched_than_was_written(trimmed: Site, tmp_path: Path) -> None:
    """A file with a large hole costs its writer nothing: it is refused before it is copied."""
    place = tmp_path / "copy"
    shutil.copytree(trimmed.place, place)
    for each in place.iterdir():
        if each.name.endswith(".gz"):
            os.truncate(each, 2**28)
    (segment,) = segments(place)
    for read in (segment.entries, segment.checkpoints):
        with pytest.raises(DataError, match="gz is too large"):
            next(iter(read()))
    (manifest,) = place.glob("*.manifest.json")
    os.truncate(manifest, 2**28)
    with pytest.raises(DataError, match=r"manifest\.json is too large"):
        segments(place)


@pytest.mark.parametrize("suffix", ["entries.jsonl.gz", "checkpoints.jsonl.gz", "manifest.json"])
def test_files_that_were_changed_are_refused(trimmed: Site, tmp_path: Path, suffix: str) -> None:
    """The database has the SHA-256 of the manifest; without it, the manifest and the signature refuse them."""
    place = tmp_path / "copy"
    shutil.copytree(trimmed.place, place)
    (file,) = place.glob(f"*.{suffix}")
    content = file.read_bytes()
    if suffix == "manifest.json":
        file.write_bytes(content.replace(b'"rows": ', b'"rows": 1'))
    else:
        file.write_bytes(gzip.compress(gzip.decompress(content) + b"{}\n", mtime=0))
    for offline in ((), ("--offline",)):
        refused = trimmed.verify("--segments", str(place), *offline)
        assert refused.code == 65, refused.stdout


def test_a_segment_written_again_is_not_the_one_on_the_record(
    trimmed: Site, tmp_path: Path
) -> None:
    """The record refuses the segment, although the same key signed the end of both."""
    place = tmp_path / "copy"
    shutil.copytree(trimmed.place, place)
    (file,) = place.glob("*.manifest.json")
    (segment,) = segments(place)
    moved = segment.manifest.content.replace(b'"registrations": [', b'"registrations": [\n    "x",')
    file.write_bytes(moved)
    refused = trimmed.verify("--segments", str(place))
    assert refused.code == 65
    assert "is not the segment on the record" in refused.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_log WHERE seq = (SELECT seq FROM audit_head)",
        "DELETE FROM audit_checkpoints WHERE seq = (SELECT max(last_seq) FROM audit_segments)",
        "DELETE FROM audit_log WHERE seq = (SELECT min(seq) FROM key_changes)",
        "DELETE FROM audit_segments",
        "UPDATE audit_log SET reason = 'no'",
        "TRUNCATE audit_amounts",
    ],
)
def test_the_owner_deletes_nothing_else(trimmed: Site, statement: str) -> None:
    """Triggers and references protect entries in no segment, entries that stay, and the record itself."""
    with pytest.raises(
        (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ForeignKeyViolation)
    ):
        trimmed.vault.sql(f"SET ROLE vault_etl_owner; {statement}")
