"""Sets on the record: each change is one transaction with its entries, and the keys of a set are needed."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Final

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.months import month_start, name_of
from tests.kit.requests import request
from tests.kit.scratch import Scratch
from tests.lake.recorded_site import FIRST, LOGINS, SECOND, THIRD, Site, contents_of
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import (
    ConfigurationError,
    IncompleteError,
    LoginDeniedError,
    PolicyDeniedError,
    UsageError,
)
from vault_etl.erase.erase import UserTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.lake.postgres import PostgresSets
from vault_etl.lake.postgres_owner import PostgresDroppedSets
from vault_etl.platform.postgres_statement_errors import ValueRefusedError

NO_SET: Final = uuid.UUID(int=9)
DESTROYED: Final = "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s"
ENTRIES: Final = "SELECT action, phase, record_id, reason FROM audit_log ORDER BY seq"


@pytest.fixture
def site(scratch: Scratch) -> Site:
    """A database of one's own."""
    scratch.add_token_keys()
    old, new = scratch.add_data_keys(IP, IP)
    return Site(scratch, old.key_id, new.key_id)


def intended(site: Site, role: str, asked: AuditRequest) -> AuditReceipt:
    """The receipt of an intent of a role."""
    with site.scratch.database(role) as database:
        return PostgresAuditLog(database).intend(asked)


def test_a_set_is_registered_as_it_grows(site: Site) -> None:
    """A seal that goes on keeps the id, its keys are needed from the first part on, and its end is recorded once."""
    set_id = site.begin()
    assert site.begin() == set_id
    site.record(set_id, site.old)
    (growing,) = site.recorded("ingest")
    assert (growing.set_id, growing.manifest_sha256, growing.rows) == (set_id, None, 3)
    site.record(set_id, site.new)
    assert (site.usage(site.old), site.usage(site.new)) == (0, 3)
    site.record(set_id, site.new, FIRST)
    site.record(set_id, site.new, FIRST)
    (done,) = site.recorded("reveal")
    assert (done.manifest_sha256, done.version, done.location) == (FIRST, 1, "/lake/a")
    with pytest.raises(IncompleteError, match="not being written any more"):
        site.record(set_id, site.new, SECOND)
    with pytest.raises(IncompleteError, match="not being written any more"):
        site.record(NO_SET, site.new)
    with pytest.raises(UsageError, match="another set of this vault is at /lake/a"):
        site.begin()
    for wrong in ("lake/b", "/lake/b/", "file:///b", "/lake/\x1b[2J", f"/{'b' * 300}"):
        with pytest.raises(ValueRefusedError):
            site.begin(wrong)
    with pytest.raises(LoginDeniedError):
        site.begin("/lake/b", "erase")
    another = dataclasses.replace(DEFAULT, fields=DEFAULT.fields[:1], events=())
    with site.scratch.database("ingest") as database, pytest.raises(ConfigurationError):
        PostgresSets(database, another).begin(LOGINS, "/lake/b")
    assert site.scratch.sql(ENTRIES) == []


def test_a_set_keeps_its_keys(site: Site) -> None:
    """A key, or a generation, that a set needs is not destroyed; a set cannot need one that is."""
    set_id = site.made()
    site.scratch.sql("UPDATE data_keys SET state = 'decrypt_only'")
    generation = "SELECT tokens, next_tokens, closed FROM needs_of_generation(1::smallint, false)"
    assert site.scratch.sql(generation, role="rotate") == [(0, 0, 3)]
    needs = "SELECT in_records FROM needs_of_data_key(%s)"
    assert site.scratch.value(needs, site.old, role="rotate") == 3
    destroy = (
        "SELECT keys_destroy(gen_random_uuid(), 'a', 'h', (SELECT array_agg(key_id) FROM data_keys),"
        " (SELECT digest FROM schema_versions))"
    )
    destroyed = {key_id for (key_id,) in site.scratch.sql(destroy)}
    assert site.new in destroyed
    assert site.old not in destroyed
    states = dict(site.scratch.sql("SELECT key_id, state FROM data_keys WHERE purpose = 'token'"))
    assert set(states.values()) == {"decrypt_only"}
    with pytest.raises(IncompleteError, match="a key of its values was destroyed"):
        site.erased(set_id, site.replaced(set_id, FIRST, SECOND))
    other = site.begin("/lake/b")
    for key, generation_of_rows in ((site.new, 1), (site.old, 2), (12345, 1)):
        with pytest.raises(IncompleteError, match="a key of its values was destroyed"):
            site.record(other, key, FIRST, generation_of_rows)
    # A key that is lost all the same does not keep the rest of its set from being erased.
    site.scratch.sql(DESTROYED, site.old)
    same = dataclasses.replace(site.replaced(set_id, FIRST, SECOND), contents=contents_of(site.old))
    site.erased(set_id, same)


def test_a_rotation_is_replaced_with_its_outcome(site: Site) -> None:
    """The manifest, the counts and the outcome are one transaction, and the intent is this login's own."""
    set_id = site.made()
    asked = request(action=Action.LAKE_ROTATE, record_id=set_id)
    with site.scratch.database("re-encrypt") as database:
        receipt = PostgresAuditLog(database).intend(asked)
        sets = PostgresSets(database, DEFAULT)
        for old, version in ((SECOND, 2), (FIRST, 1)):
            with pytest.raises(IncompleteError, match="another manifest of this set"):
                sets.rotated(receipt, site.replaced(set_id, old, THIRD, version))
        head = sets.rotated(receipt, site.replaced(set_id, FIRST, SECOND))
        # The outcome is there: the same intent replaces nothing more.
        with pytest.raises(Exception, match="Postgres"):
            sets.rotated(receipt, site.replaced(set_id, SECOND, THIRD, 3))
    (now,) = site.recorded("re-encrypt")
    assert (now.manifest_sha256, now.version, now.rows) == (SECOND, 2, 3)
    assert (site.usage(site.old), site.usage(site.new)) == (0, 3)
    assert site.scratch.sql(ENTRIES)[-1] == (
        *("lake rotate", "outcome", set_id),
        f"version 2: manifest {FIRST.hex()} became {SECOND.hex()}",
    )
    assert site.scratch.value("SELECT seq FROM audit_head") == head.seq == 2
    denied = dataclasses.replace(receipt.request, request_id=uuid.uuid4())
    with pytest.raises(PolicyDeniedError):
        intended(site, "reveal", denied)


def test_an_erasure_of_a_user_waits_in_each_set(site: Site) -> None:
    """`erase` names the sets and leaves an erasure in each; `lake erase` ends those that it did, and no other."""
    first, second = site.made("/lake/a"), site.begin("/lake/b")
    with site.scratch.database("erase") as database:
        eraser = PostgresEraser(database, DEFAULT)
        there = {str(first): "/lake/a", str(second): "/lake/b"}
        preview = eraser.preview(UserTarget("ann"))
        assert preview is not None
        assert preview.archives == there
        for _ in range(2):
            erasure = eraser.erase(request(), UserTarget("ann"))
            assert erasure is not None
            assert (erasure.records, erasure.archives) == (0, there)
        eraser.erase(request(), UserTarget("ben"))
        assert {each.erasures for each in site.recorded()} == {2}
        sets = PostgresSets(database, DEFAULT)
        (recorded,) = [each for each in sets.recorded() if each.set_id == first]
        ann, ben = sets.pending(recorded)
    assert (ann.user_id, ann.record_id, ben.user_id) == ("ann", None, "ben")
    others = site.scratch.sql("SELECT erasure_id FROM archived_erasures WHERE set_id = %s", second)
    site.erased(first, site.replaced(first, FIRST, SECOND), ann.erasure_id, *(n for (n,) in others))
    assert {each.set_id: each.erasures for each in site.recorded()} == {first: 1, second: 2}
    # No row of ben: the manifest stays.
    site.erased(first, site.replaced(first, SECOND, SECOND), ben.erasure_id)
    assert {each.set_id: each.erasures for each in site.recorded()} == {first: 0, second: 2}
    *_, intent, outcome = site.scratch.sql(ENTRIES)
    assert intent == ("lake erase", "intent", first, "a request to be forgotten")
    assert outcome[3].startswith("erased rows: 1, erasures that waited: 1, version 2: manifest ")
    with pytest.raises(IncompleteError, match="another manifest of this set"):
        site.erased(second, site.replaced(second, FIRST, SECOND))
    archives = "SELECT partition, alone, erasures FROM closed_archives()"
    assert set(site.scratch.sql(archives, role="ingest")) == {
        (str(first), False, 0),
        (str(second), False, 2),
    }


def test_a_set_is_dropped_by_the_owner(site: Site) -> None:
    """Its counts and erasures go with it, on the record; its place may be taken again."""
    set_id = site.made()
    asked = request(action=Action.LAKE_DROP, fields=())
    with site.scratch.database("erase") as database:
        PostgresEraser(database, DEFAULT).erase(request(), UserTarget("ann"))
        with pytest.raises(LoginDeniedError):
            PostgresDroppedSets(database).drop(asked, set_id)
    with site.scratch.database("admin") as database:
        sets = PostgresDroppedSets(database)
        assert sets.find("/lake/a")[0] == set_id
        sets.intend(asked)
        sets.drop(asked, set_id)
        with pytest.raises(IncompleteError):
            sets.drop(asked, set_id)
    assert site.recorded() == []
    assert site.usage(site.old) == 0
    assert site.scratch.value("SELECT count(*) FROM archived_erasures") == 0
    assert site.scratch.sql(ENTRIES)[-1] == (
        *("lake drop", "outcome", None),
        f"the set {set_id} at /lake/a is deleted and off the record",
    )
    assert site.begin() != set_id


def test_the_archive_of_a_month_is_a_set(site: Site) -> None:
    """It is replaced by its old manifest and keeps its month; not while a table has the rows too."""
    scratch, name = site.scratch, name_of(-2)
    scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
    scratch.sql(f"ALTER TABLE {name} SET SCHEMA vault_etl_detached")
    scratch.sql(
        "INSERT INTO closed_months (event, first, until, partition, archive, archive_sha256, archived_at)"
        " SELECT 'user_logins', first_record_id(%s), first_record_id(%s), %s, '/archives/a', %s, now()",
        month_start(-2),
        month_start(-1),
        name,
        FIRST,
    )
    scratch.sql(
        "INSERT INTO detached_values (event, first, field, id, month, held)"
        " SELECT event, first, 'ip', %s, month_of(first), 3 FROM closed_months;"
        " INSERT INTO archived_erasures (event, first, user_id) SELECT event, first, 'ann' FROM closed_months",
        site.old,
    )
    set_id = uuid.uuid4()
    new = site.replaced(set_id, FIRST, SECOND)
    assert not site.recorded()[0].alone
    with pytest.raises(IncompleteError, match="another manifest of this set"):
        site.erased(set_id, new)
    scratch.sql(f"DROP TABLE vault_etl_detached.{name}")
    with pytest.raises(UsageError):
        site.begin("/archives/a")
    (month,) = site.recorded()
    assert (month.partition, month.location, month.set_id, month.erasures) == (
        name,
        "/archives/a",
        None,
        1,
    )
    assert (month.manifest_sha256, month.alone) == (FIRST, True)
    with scratch.database("erase") as database:
        (waits,) = PostgresSets(database, DEFAULT).pending(month)
    assert waits.user_id == "ann"
    site.erased(set_id, new, waits.erasure_id)
    (month,) = site.recorded("re-encrypt")
    assert (month.manifest_sha256, month.erasures) == (SECOND, 0)
    assert (site.usage(site.old), site.usage(site.new)) == (0, 3)
    assert scratch.value("SELECT count(*) FROM detached_values WHERE month = month_of(first)") == 2
    assert site.recorded("ingest") == []
