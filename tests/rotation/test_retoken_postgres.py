"""`re-encrypt` reads and writes rows of a detached month only by claims of ranges."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Final

import psycopg2
import pytest

from tests.kit.cut_over import filled_token
from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP, PERSONAL_FIELDS
from tests.kit.entries import append_committed
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import cut_over_request
from tests.kit.scratch import Scratch
from tests.rotation.claims import RELEASE, Denied
from tests.rotation.retoken_site import EVERYTHING, Site, begun_site
from vault_etl.audit.entries import Action
from vault_etl.base.errors import ConfigurationError
from vault_etl.erase.erase import RecordTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.rotation.postgres import PostgresDataRotations
from vault_etl.rotation.postgres_retoken import PostgresDetachedMonths

PAGE: Final = "SELECT record_id FROM vault_etl.user_logins_retoken_page(%s, NULL, 100, 1000000)"

FILL: Final = (
    "SELECT vault_etl.user_logins_retoken_fill("
    "%s, 2::smallint, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')"
)


@pytest.fixture
def site(scratch: Scratch) -> Site:
    """A retoken of a detached month has begun."""
    return begun_site(scratch)


def test_rows_get_their_new_tokens_and_are_counted(site: Site) -> None:
    """One transaction writes and counts, so the count is right after a kill. Old and next tokens are gone."""
    assert site.counts() == {("token", 1): 2, ("next_token", 2): 2}
    claim, rows = site.claim_with_rows()
    assert len(rows) == 2
    assert site.fill(claim, rows[:1]) == 1
    assert site.counts() == {("token", 1): 1, ("token", 2): 1, ("next_token", 2): 1}
    assert [row.record_id for row in site.rows(claim)] == [rows[1].record_id]
    assert site.fill(claim, rows) == 1, "the first one is not what was read any more"
    new = filled_token(rows[0].tokens[IP])
    assert site.stored() == [(new, 2, None, None)] * 2
    assert site.counts() == {("token", 2): 2}
    changed = site.scratch.value("SELECT count(*) FROM detached_changes")
    assert changed == 2, "the rows must not include the older archive"


def test_another_run_continues_where_one_was_killed(site: Site) -> None:
    """The run has the same ranges, done ranges included, until all are done, or rows are to be left out."""
    claim, rows = site.claim_with_rows()
    site.fill(claim, rows)
    done = "SELECT count(*) FROM rotation_ranges WHERE done"
    with site.scratch.database("re-encrypt") as database:
        months = PostgresDetachedMonths(database, DEFAULT)
        again = months.begin(rotate_request(), site.month, 9, again=False)
        assert (again.rotation_id, again.resumed) == (site.rotation_id, True)
        assert site.scratch.value(done) == 1
        months.begin(rotate_request(), site.month, 9, again=True)
        assert site.scratch.value(done) == 0


@pytest.mark.parametrize("statement", [PAGE, FILL])
def test_no_row_is_read_without_an_own_claim(site: Site, statement: str) -> None:
    """An invented claim, another login's claim, and a claim with an outcome are refused."""
    claim = site.claim()
    site.scratch.sql(statement, claim, role="re-encrypt")
    with pytest.raises(Denied):
        site.scratch.sql(statement, uuid.uuid4(), role="re-encrypt")
    with pytest.raises(Denied):
        site.scratch.sql(statement, claim)  # by another login, a superuser
    site.scratch.sql(RELEASE, claim, 0, [], role="re-encrypt")
    with pytest.raises(Denied):
        site.scratch.sql(statement, claim, role="re-encrypt")


def test_a_claim_belongs_to_the_run_of_its_entry(site: Site) -> None:
    """A rotation's run claims no month, and a month's run claims no range of a rotation."""
    rotation = uuid.uuid4()
    append_committed(site.scratch, "re-encrypt", action="keys rotate", request_id=rotation)
    with site.scratch.database("re-encrypt") as database:
        data = PostgresDataRotations(database, DEFAULT).begin(rotate_request(), PERSONAL_FIELDS, 1)
    entries = "SELECT count(*) FROM audit_log WHERE action = 'keys range'"
    for rotation_id, run in ((site.rotation_id, rotation), (data.rotation_id, site.run)):
        with pytest.raises(Denied):
            site.claim(rotation_id, run)
    assert site.scratch.value(entries) == 0
    claim = site.claim(data.rotation_id, rotation)
    assert site.rows(claim) == [], (
        "a claim of the attached months must not be a claim of a detached month"
    )
    reason = site.said(site.claim())[1]
    assert reason.startswith(f"rows of {site.month.name} from {site.month.first} to ")


def test_a_claim_gets_the_rows_of_its_range_alone(site: Site) -> None:
    """The claim writes no other row; a lapsed claim whose range was claimed again reads and writes no row."""
    claims = {claim: site.rows(claim) for claim in (site.claim(), site.claim())}
    (empty,) = (claim for claim, rows in claims.items() if not rows)
    ((full, rows),) = ((claim, rows) for claim, rows in claims.items() if rows)
    assert site.fill(empty, rows) == 0
    site.scratch.sql("UPDATE rotation_ranges SET claimed_until = now() - interval '1 second'")
    again = [site.claim(), site.claim()]
    assert [len(site.rows(claim)) for claim in (full, *again)] in ([0, 0, 2], [0, 2, 0])
    assert site.fill(full, rows) == 0
    assert site.counts()[("token", 1)] == 2


@pytest.mark.parametrize(
    "back",
    [
        "SELECT 1",
        "UPDATE rotation_ranges SET after = NULL",
        "SELECT rotation_move(claim, first, false) FROM rotation_ranges WHERE claim IS NOT NULL",
    ],
)
def test_a_claim_gets_no_row_that_its_entry_leaves_out(site: Site, back: str) -> None:
    """An earlier claim's rows stay out, wherever the range is moved back to, once the entry says `behind`."""
    _, rows = site.claim_with_rows()
    site.scratch.sql("UPDATE rotation_ranges SET claimed_until = NULL")
    behind = "UPDATE rotation_ranges SET after = %s"
    site.scratch.sql(behind, rows[0].record_id, role="re-encrypt")
    claims = [site.claim(), site.claim()]
    site.scratch.sql(back, role="re-encrypt")
    assert [row.record_id for claim in claims for row in site.rows(claim)] == [rows[1].record_id]
    assert sum(site.fill(claim, rows) or 0 for claim in claims) == 1
    assert all(site.said(claim)[1].endswith(f", behind {rows[0].record_id}") for claim in claims)


def test_a_claim_of_other_fields_gets_no_row(site: Site) -> None:
    """Each row has both fields: an entry without either belongs to a range of quarantine, which no month has."""
    _, rows = site.claim_with_rows()
    mine = {"role": "re-encrypt"}
    site.scratch.sql("DELETE FROM key_rotations", **mine)
    add = (
        "INSERT INTO key_rotations (purpose, rotation_id, fields, old_keys, event, month)"
        " VALUES ('month', %s, %s, '{}', 'user_logins', %s)"
    )
    for fields in (["quarantine"], ["ip"], ["ip", "ip"], ["device_id", "ip", "quarantine"]):
        with pytest.raises(psycopg2.errors.CheckViolation):
            site.scratch.sql(add, site.rotation_id, fields, site.month.first, **mine)
    site.scratch.sql(add, site.rotation_id, ["ip", "device_id"], site.month.first, **mine)
    site.scratch.sql(
        "INSERT INTO rotation_ranges (rotation_id, place, first, last) VALUES (%s, 'quarantine', %s, %s)",
        *(site.rotation_id, EVERYTHING.first, EVERYTHING.last),
        **mine,
    )
    claim = site.claim()
    assert site.said(claim)[0] == ["quarantine"]
    assert (site.rows(claim), site.fill(claim, rows)) == ([], 0)


def test_an_erasure_wins(site: Site) -> None:
    """A value read before the erasure is not written after it."""
    claim, rows = site.claim_with_rows()
    with site.scratch.database("erase") as database:
        erase = dataclasses.replace(cut_over_request(), action=Action.ERASE, fields=())
        PostgresEraser(database, DEFAULT).erase(erase, RecordTarget(rows[0].record_id))
    assert site.fill(claim, rows) == 1
    left = {row[:2] for row in site.stored()}
    assert left == {(None, None), (filled_token(rows[1].tokens[IP]), 2)}


def test_a_row_that_is_not_what_was_read_is_left_alone(site: Site) -> None:
    """Each old token and ciphertext is compared."""
    claim, rows = site.claim_with_rows()
    before = site.stored()
    for name in PERSONAL_FIELDS:
        for row in rows:
            for read in (
                row._replace(tokens={**row.tokens, name: uuid.uuid4()}),
                row._replace(ciphertexts={**row.ciphertexts, name: b"another one"}),
            ):
                assert site.fill(claim, [read]) == 0
    assert site.stored() == before
    assert site.fill(claim, rows) == len(rows)


def test_the_active_generation_alone_is_written(site: Site) -> None:
    """The generation at the commit counts: a cut-over in between ends the run; READ COMMITTED sees it."""
    claim, rows = site.claim_with_rows()
    assert site.fill(claim, rows, generation=3) is None
    assert site.counts()[("token", 1)] == 2
    with site.scratch.connect("re-encrypt") as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(Denied):
            cursor.execute(FILL, (claim,))


def test_a_month_that_is_not_detached_any_more_has_no_rows(site: Site) -> None:
    """Dropped during a run: no row is read or written, and the next run names the place of the rows."""
    claim, rows = site.claim_with_rows()
    site.scratch.sql(f"DROP TABLE vault_etl_detached.{site.month.name}")
    assert site.rows(claim) == []
    assert site.fill(claim, rows) == 0
    with site.scratch.database("re-encrypt") as database, pytest.raises(ConfigurationError):
        PostgresDetachedMonths(database, DEFAULT).generations(site.month)


def test_a_failed_attach_does_not_block(site: Site) -> None:
    """The failed attach leaves a constraint of the generation that was active then."""
    site.scratch.sql(
        f"ALTER TABLE vault_etl_detached.{site.month.name}"
        " ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = 1)"
    )
    with site.scratch.database("re-encrypt") as database:
        PostgresDetachedMonths(database, DEFAULT).begin(
            rotate_request(), site.month, 2, again=False
        )
    claim, rows = site.claim_with_rows()
    assert site.fill(claim, rows) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM vault_etl_detached.{}",
        "UPDATE vault_etl_detached.{} SET user_id = 'x'",
        "SELECT * FROM vault_etl.retoken_range(gen_random_uuid())",
        "SELECT vault_etl.partition_table('{}')",
        "SELECT month, vault_etl.retoken_begin(event, month) FROM vault_etl.key_rotations WHERE month IS NOT NULL",
        "UPDATE vault_etl.key_rotations SET month = NULL",
        "SELECT partition FROM vault_etl.closed_months",
    ],
)
def test_no_other_way_leads_to_the_rows(site: Site, statement: str) -> None:
    """The table, the functions behind the claims, and the owner's locks are denied."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        site.scratch.sql(statement.format(site.month.name), role="re-encrypt")
