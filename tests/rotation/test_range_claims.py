"""No range is claimed without its entry, whatever SQL `re-encrypt` runs."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.entries import append_committed
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch, sealed_record
from tests.kit.waiting import until
from tests.rotation.claims import CLAIM, RELEASE, Denied
from vault_etl.rotation.postgres import PostgresDataRotations
from vault_etl.rotation.ranges import named_keys

MOVE = "SELECT vault_etl.rotation_move(%s, NULL, %s)"
WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rotation_ranges'::regclass"
)


@dataclass(frozen=True, slots=True)
class Site:
    """A rotation that has begun, and its run."""

    scratch: Scratch
    rotation_id: uuid.UUID
    run: uuid.UUID

    def sql(self, statement: str, *values: object, role: str = "re-encrypt") -> Any:  # noqa: ANN401
        """Run SQL as a client of the database."""
        return self.scratch.sql(statement, *values, role=role)

    def claim(self) -> uuid.UUID:
        """Claim a range correctly."""
        claim = uuid.uuid4()
        ((place, *_),) = self.sql(CLAIM, self.rotation_id, claim, self.run)
        assert place == "user_logins"
        return claim

    def entries(self) -> list[tuple[Any, ...]]:
        """The entries of ranges."""
        return self.scratch.sql(
            "SELECT phase, decision, error_code, reason FROM audit_log WHERE action = 'keys range' ORDER BY seq"
        )

    def claimed(self) -> int:
        """The number of claimed ranges."""
        count = self.scratch.value(
            "SELECT count(*) FROM rotation_ranges WHERE claim IS NOT NULL OR claimed_until IS NOT NULL"
        )
        assert isinstance(count, int)
        return count


@pytest.fixture
def site(scratch: Scratch) -> Site:
    """Three ranges, and an entry of a running rotation."""
    scratch.add_token_keys()
    keys = scratch.write_keys()
    with scratch.loader() as loader:
        loader.load([sealed_record(keys) for _ in range(20)], [], keys)
    with scratch.database("re-encrypt") as database:
        begun = PostgresDataRotations(database, DEFAULT).begin(rotate_request(), PERSONAL_FIELDS, 3)
    run = uuid.uuid4()
    append_committed(scratch, "re-encrypt", action="keys rotate", request_id=run)
    return Site(scratch, begun.rotation_id, run)


def test_a_range_is_claimed_by_the_function_alone(site: Site) -> None:
    """`UPDATE` and `INSERT` are denied."""
    for attack in (
        "UPDATE vault_etl.rotation_ranges SET claim = gen_random_uuid()",
        "UPDATE vault_etl.rotation_ranges SET claimed_until = now() + interval '1 hour'",
        "INSERT INTO vault_etl.rotation_ranges (claimed_until) VALUES ('infinity')",
    ):
        with pytest.raises(Denied):
            site.sql(attack)
    assert (site.claimed(), site.entries()) == (0, [])


def test_a_claim_belongs_to_a_run_of_the_login(site: Site) -> None:
    """The run is recorded as allowed and not over: no ended run, no other login's run, no other action."""
    over, others, denied, another = (uuid.uuid4() for _ in range(4))
    append_committed(site.scratch, "re-encrypt", action="keys rotate", request_id=over)
    ended = {"request_id": over, "phase": "outcome", "decision": "done"}
    append_committed(site.scratch, "re-encrypt", action="keys rotate", **ended)
    append_committed(site.scratch, "rotate", action="keys rotate", request_id=others)
    append_committed(
        site.scratch, "re-encrypt", action="keys rotate", request_id=denied, decision="denied"
    )
    append_committed(site.scratch, "re-encrypt", action="keys rewrap", request_id=another)
    for run in (uuid.uuid4(), over, others, denied, another):
        with pytest.raises(Denied):
            site.sql(CLAIM, site.rotation_id, uuid.uuid4(), run)
    with pytest.raises(Denied):
        site.sql(CLAIM, site.rotation_id, uuid.uuid4(), others, role="rotate")
    assert (site.claimed(), site.entries()) == (0, [])


def test_a_claim_is_committed_with_its_entry_or_not_at_all(site: Site) -> None:
    """A client that would roll back is refused; a claim is used once."""
    with site.scratch.connect("re-encrypt") as opened, opened.cursor() as cursor:
        by_itself = "SELECT * FROM vault_etl.rotation_claim(%s, %s, %s)"
        with pytest.raises(Denied):
            cursor.execute(by_itself, (site.rotation_id, uuid.uuid4(), site.run))
    assert (site.claimed(), site.entries()) == (0, [])
    claim = site.claim()
    with pytest.raises(psycopg2.errors.UniqueViolation):
        site.sql(CLAIM, site.rotation_id, claim, site.run)
    assert site.claimed() == 1
    assert len(site.entries()) == 1


def test_a_claim_is_of_one_range_whatever_the_planner_takes_the_table_for(site: Site) -> None:
    """ANALYZE finds the table empty between two rotations: a single statement would join and claim several ranges."""
    site.scratch.sql(
        "UPDATE pg_class SET relpages = 1, reltuples = 0 WHERE oid = 'rotation_ranges'::regclass"
    )
    for claims in (1, 2, 3):
        site.claim()
        assert (site.claimed(), len(site.entries())) == (claims, claims)


def test_a_rotation_stays_until_the_entry_of_its_claim_is_committed(site: Site) -> None:
    """Otherwise another rotation takes its id while the claim waits, and the entry has the fields of the first."""
    with ThreadPoolExecutor(1) as pool, site.scratch.connect() as held, held.cursor() as cursor:
        cursor.execute("LOCK TABLE rotation_ranges IN EXCLUSIVE MODE")
        claimed = pool.submit(site.claim)
        try:
            until(lambda: site.scratch.value(WAITING))
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("SET lock_timeout = '50ms'; DELETE FROM key_rotations")
        finally:
            held.rollback()
        claimed.result()
    assert (site.claimed(), len(site.entries())) == (1, 1)


def test_no_role_appends_an_entry_of_a_range(site: Site) -> None:
    """Not even re-encrypt does; its only direct entries are denials."""
    append_committed(site.scratch, "re-encrypt", action="keys range")
    assert [entry[1:3] for entry in site.entries()] == [("denied", "role")]


def test_an_outcome_is_written_once(site: Site) -> None:
    """The release writes the outcome of a range, done or not, with the rows that the client has opened."""
    done, released = site.claim(), site.claim()
    site.sql(MOVE, done, False)
    site.sql(MOVE, done, True)
    assert len(site.entries()) == 2
    site.sql(RELEASE, done, 5, [9, 7, 9])
    site.sql(RELEASE, done, 6, [8])
    site.sql(RELEASE, released, 0, [])
    site.sql(RELEASE, uuid.uuid4(), 1, [])
    outcomes = [entry[1:] for entry in site.entries() if entry[0] == "outcome"]
    assert outcomes == [
        ("done", None, "5 rows, under data keys 7, 9"),
        ("failed", "freed", "0 rows, under no data key"),
    ]
    assert site.claimed() == 0


def test_a_worker_that_has_lost_its_range_is_told(site: Site) -> None:
    """Another worker has claimed the range since, under its own entry, and still has it."""
    lost = site.claim()
    site.scratch.sql("UPDATE rotation_ranges SET claimed_until = now() - interval '1 second'")
    ((_, range_, *_),) = site.sql(CLAIM, site.rotation_id, claim := uuid.uuid4(), site.run)
    site.sql(MOVE, lost, True)
    site.sql(RELEASE, lost, 5, [7])
    kept = "SELECT claim, done FROM rotation_ranges WHERE first = %s"
    assert site.scratch.sql(kept, range_) == [(claim, False)]
    assert [entry[:3] for entry in site.entries()] == [
        *[("intent", "allowed", None)] * 2,
        ("outcome", "failed", "lapsed"),
    ]


@pytest.mark.parametrize("count", [0, 1, 32, 33, 500])
def test_many_keys_are_a_digest(site: Site, count: int) -> None:
    """The digest follows docs/formats.md; the entry of a sample names its keys in the same way."""
    keys = [4_294_967_295 - 3 * i for i in range(count)]
    site.sql(RELEASE, site.claim(), 1, keys)
    said = site.entries()[-1][3]
    assert said == f"1 rows, under {named_keys(keys)}"
    if count > 32:
        text = "vault-etl/1/range-keys\n" + "".join(f"{key}\n" for key in sorted(keys))
        assert said.endswith(
            f"{count} data keys, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"
        )
