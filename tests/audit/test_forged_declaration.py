"""`verify` names each change that an owner makes to the catalogue of declarations, with the guards off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.audit.logbook import Logbook
from tests.kit.applied import GROWN, put_in_force
from tests.kit.databases import empty

OF_DOCUMENTS = "ALTER TABLE schema_versions DROP CONSTRAINT digest_of_the_document"
OF_ENTRIES = "ALTER TABLE schema_versions DROP CONSTRAINT the_first_one_has_no_entry"
CONSISTENT = (
    "UPDATE schema_versions SET document = d, digest = sha256(convert_to(d, 'UTF8'))"
    " FROM (SELECT replace(document, '256', '255') AS d FROM schema_versions WHERE version = 1) AS f"
    " WHERE version = 1"
)
FORGERIES = {
    "a document": (
        OF_DOCUMENTS,
        "UPDATE schema_versions SET document = replace(document, 'email', 'e_mail') WHERE version = 2",
    ),
    "the first document": (
        OF_DOCUMENTS,
        "UPDATE schema_versions SET document = replace(document, '256', '255') WHERE version = 1",
    ),
    "the first document with its digest": (CONSISTENT,),
    "who may go on writing": ("UPDATE schema_versions SET admits = NULL WHERE version = 2",),
    "a missing version": ("DELETE FROM schema_versions WHERE version = 2",),
    "a missing first version": ("DELETE FROM schema_versions WHERE version = 1",),
    "a version without an entry": (
        OF_ENTRIES,
        "INSERT INTO schema_versions (version, document, digest) VALUES (3, '{}', sha256('{}'))",
    ),
    "a version with the entry of another change": (
        "INSERT INTO schema_versions (version, document, digest, seq) VALUES (3, '{}', sha256('{}'), 3)",
    ),
}


@pytest.fixture(scope="module")
def changed(written: Logbook) -> Iterator[Logbook]:
    """An honest log, and a second version of the declaration."""
    with empty(written.database.server, written.database.name) as copy:
        put_in_force(copy, GROWN)
        yield Logbook(copy, written.signer)


def test_an_honest_change_is_two_entries(changed: Logbook) -> None:
    """The outcome names version and digest, and the log holds."""
    proof = changed.prove()
    assert (proof.problem, proof.unfinished, proof.unsigned) == (None, [], [])
    entries = changed.database.sql(
        "SELECT phase, l.ticket IS NOT NULL, l.reason = format('version 2, digest %s', encode(s.digest, 'hex'))"
        " FROM audit_log AS l, schema_versions AS s WHERE action = 'schema apply' AND version = 2 ORDER BY l.seq"
    )
    assert entries == [("intent", True, False), ("outcome", True, True)]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_version_is_named(changed: Logbook, forgery: str) -> None:
    """A row that no entry added, and an entry whose row is another one, are tampering."""
    with empty(changed.database.server, changed.database.name) as copy:
        log = Logbook(copy, changed.signer)
        log.tamper(*FORGERIES[forgery])
        proof = log.prove()
    assert not proof.ok
    assert "schema apply" in str(proof.problem)


def test_a_trim_keeps_the_entry_of_a_version(changed: Logbook) -> None:
    """The catalogue is compared with its entry also after the entries beside it have left the log."""
    kept = changed.database.sql(
        "SELECT v.version FROM schema_versions AS v"
        " JOIN vault_etl.audit_kept(1, (SELECT max(seq) FROM audit_log)) AS k ON k.seq = v.seq"
    )
    assert kept == [(2,)]
