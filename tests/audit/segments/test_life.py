"""A log is exported, proven by its files, trimmed and proven again, by the real commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.audit.segments.site import Site
from tests.kit.fakes.identity import FakeIdentity
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.audit.segments.files import SegmentFiles
from vault_etl.audit.segments.postgres import PostgresTrimmer
from vault_etl.platform.postgres import Database
from vault_etl.platform.store_folder import FolderArchive

NOWHERE = {"VAULT_ETL_DATABASE_URL": None, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


def request() -> AuditRequest:
    """A request of the owner's login."""
    return audit_request(FakeIdentity(), Action.AUDIT_TRIM, "retention")


def test_a_segment_proves_itself(old: Site) -> None:
    """Its files prove it alone, without a database and KMS, and beside a table that still has its entries."""
    (made,) = old.exported.lines
    assert (made["first_seq"], made["last_seq"]) == (1, old.end)
    alone = old.vault.ok(
        "audit",
        *("audit", "verify", "--segments", str(old.place), "--offline"),
        *("--public-key", str(old.key)),
        extra=NOWHERE,
    )
    proof = alone.json
    assert (proof["head_seq"], proof["entries"], proof["ok"]) == (old.end, old.end, True)
    assert proof["unfinished"] == [old.unfinished]
    assert "without a --checkpoint" not in alone.stderr
    beside = old.verify("--segments", str(old.place)).json
    assert (beside["ok"], beside["unread"]) == (True, [])


def test_a_dry_run_compares_and_changes_nothing(old: Site) -> None:
    """A dry run counts deletions, and what stays: a registration, keys, a policy and an intent without outcome."""
    before = old.vault.sql("SELECT count(*), max(seq) FROM audit_log")
    (told,) = old.trim("--dry-run").lines
    assert (told["first_seq"], told["last_seq"]) == (1, old.end)
    assert (told["kept"], told["deletes"]) == (4, old.end - 4)
    assert old.vault.sql("SELECT count(*), max(seq) FROM audit_log") == before


def test_a_trimmed_log_holds_and_says_what_was_not_read(trimmed: Site) -> None:
    """The proof enters the log after the segment, and still names an intent without an outcome."""
    found = trimmed.verify()
    assert found.code == 0, found.stdout
    assert found.json["unfinished"] == [trimmed.unfinished]
    assert found.json["unsigned"] == []
    (unread,) = found.json["unread"]
    assert (unread["first_seq"], unread["last_seq"]) == (1, trimmed.end)
    assert f"entries 1 to {trimmed.end} are in segments that were not read" in found.stderr
    assert trimmed.vault.sql(
        "SELECT DISTINCT action FROM audit_log WHERE seq <= %s ORDER BY 1", trimmed.end
    ) == [("audit key",), ("keys change",), ("policy set",), ("reveal",)]
    assert trimmed.vault.sql("SELECT seq FROM audit_checkpoints WHERE seq <= %s", trimmed.end) == [
        (trimmed.end,)
    ]


def test_a_log_with_its_segments_is_one_chain(trimmed: Site) -> None:
    """The chain is proven from the first entry to the last, against any checkpoint that was kept."""
    receipt = ("--checkpoint", str(trimmed.receipt))
    found = trimmed.verify("--segments", str(trimmed.place), *receipt)
    assert found.code == 0, found.stdout
    assert found.json["entries"] == found.json["head_seq"]
    assert found.json["unread"] == []


def test_a_checkpoint_of_an_entry_that_is_not_read_proves_nothing(
    trimmed: Site, tmp_path: Path
) -> None:
    """A checkpoint of the segment's end proves the log; one before the end needs the segment."""
    assert trimmed.verify("--checkpoint", str(trimmed.receipt)).code == 0
    earlier = tmp_path / "earlier.txt"
    earlier.write_text(_signed(trimmed, 3), encoding="utf-8")
    alone = trimmed.verify("--checkpoint", str(earlier))
    assert alone.code == 65
    assert "entry 3 is in a segment that was not given" in alone.json["problem"]
    whole = trimmed.verify("--checkpoint", str(earlier), "--segments", str(trimmed.place))
    assert whole.code == 0, whole.stdout


def test_a_second_trim_deletes_nothing(trimmed: Site) -> None:
    """A deleted segment on the record is skipped, and an export continues after it."""
    again = trimmed.trim("--reason", "x", "--yes")
    assert (again.code, again.stdout) == (0, "")
    more = trimmed.vault.ok(
        *("audit", "audit", "export", "--to", str(trimmed.place), "--public-key", str(trimmed.key))
    )
    assert more.stdout == ""


def test_young_entries_stay(untrimmed: Site) -> None:
    """An export may reach up to now; a trim does not, and never into the last day."""
    untrimmed.vault.ok("audit", "audit", "checkpoint")
    place = untrimmed.vault.home / "all"
    exported = untrimmed.vault.ok(
        *("audit", "audit", "export", "--to", str(place), "--until", "2100-01-01")
    )
    assert exported.json["last_seq"] > untrimmed.end
    asked = ("audit", "trim", "--segments", str(place), "--reason", "x", "--yes")
    left = untrimmed.vault.run("admin", *asked)
    assert (left.code, left.stdout) == (0, "")
    assert "is younger than --older-than, and stays" in left.stderr
    assert untrimmed.vault.run("admin", *asked, "--older-than", "1h").code == 2


def test_an_interrupted_trim_is_continued(untrimmed: Site) -> None:
    """A segment on the record that is not deleted yet holds; another run deletes it, without a second entry."""
    url = untrimmed.vault.database_url("admin")
    trimmer = PostgresTrimmer(Database(url))
    (stored,) = SegmentFiles(FolderArchive(untrimmed.place)).segments()
    trimmer.add(request(), stored.manifest, stored.location)
    between = untrimmed.verify()
    assert (between.code, between.json["unread"]) == (0, [])
    done = untrimmed.trim("--reason", "x", "--yes")
    assert done.json["deletes"] == untrimmed.end - 4
    assert untrimmed.vault.count("audit_segments") == 1
    assert untrimmed.verify().code == 0


def test_a_segment_that_is_not_the_table_deletes_nothing(untrimmed: Site) -> None:
    """The table was changed after the export, chain and all: the trim names it, and stops."""
    untrimmed.vault.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "UPDATE audit_log SET reason = 'another' WHERE seq = 3; COMMIT"
    )
    refused = untrimmed.trim("--reason", "x", "--yes")
    assert refused.code == 65
    assert re.search("entry 3 of .* is not as the table has it", refused.stderr)
    assert untrimmed.vault.count("audit_segments") == 0


def _signed(site: Site, seq: int) -> str:
    """A checkpoint of this entry, as a reveal printed it when it was the newest."""
    stored = next(
        row
        for row in SegmentFiles(FolderArchive(site.place)).segments()[0].entries()
        if row.seq == seq
    )
    assert stored.hash is not None
    return site.sign(Head(seq, stored.hash))


@pytest.mark.parametrize(("place", "code"), [("missing", 66), ("gs://bucket/audit", 2)])
def test_a_missing_place_is_named(trimmed: Site, tmp_path: Path, place: str, code: int) -> None:
    """A timer with a wrong name would never trim, without a message."""
    given = place if ":" in place else str(tmp_path / place / "audit")
    for role, command in (
        ("admin", ("trim", "--segments", given, "--dry-run")),
        ("audit", ("export", "--to", given)),
        ("audit", ("verify", "--segments", given)),
    ):
        refused = trimmed.vault.run(role, "audit", *command, "--public-key", str(trimmed.key))
        assert refused.code == code, refused.stderr
