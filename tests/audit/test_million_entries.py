"""A log of a million entries: each query on the way of an access, or of another writer, reads a few pages."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from psycopg2.extensions import cursor

from tests.kit.databases import clone
from tests.kit.entries import ENTRIES, MILLION_ENTRIES, NO_QUOTA
from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.plans import pages
from tests.kit.scratch import Scratch
from vault_etl.audit.checkpoint import Head
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.resources import blocks
from vault_etl.reveal.find import search_digest, user_digest

MAX_PAGES = 300
"""Of 8 KiB, tables and indexes and catalogs together. The log has 30,000, and its smallest index 1,000."""

TABLES = ("log", "amounts", "disclosed", "checkpoints", "keys", "head", "rates")
OF_SEGMENTS = {"audit_kept", "audit_segment_add", "audit_segment_delete"}
"""What reads a whole segment, for the owner, and keeps no other session waiting."""
READS_IT = "reveal_policies|key_changes|" + "|".join(f"audit_{name}" for name in TABLES)


@pytest.fixture(scope="module")
def million(postgres: RunningPostgres) -> Iterator[Scratch]:
    """Half a million accesses and other actions, most of them of the login `admin`, one in 50 s for nine months."""
    with clone(postgres) as database:
        database.sql(NO_QUOTA)
        database.sql(MILLION_ENTRIES)
        database.add_token_keys()
        yield database


APPEND = (
    "SELECT seq FROM audit_append(%(request)s::uuid, %(phase)s, 'a', 'h', %(action)s, %(record)s::uuid,"
    " %(fields)s::text[], NULL, NULL, 'r', %(decision)s, NULL, %(amount)s)"
)
ALL = {
    **dict.fromkeys(("since", "until", "record_id", "field", "action", "ticket", "actor")),
    "after": ENTRIES // 2,
    "limit": 50,
}
ABOUT_ONE = uuid.UUID("00000000-0000-0000-0000-000000012345")
FILTERED: dict[str, Callable[[], dict[str, object]]] = {
    "nothing": dict,
    "record": lambda: {"record_id": str(ABOUT_ONE), "after": 0},
    "time": lambda: {"since": dt.datetime.now(dt.UTC) - dt.timedelta(minutes=20), "after": 0},
}
NONCE = bytes(32)


def appended(opened: cursor, action: str = "reveal", **changes: object) -> dict[str, Any]:
    """The values of an intent that is appended, and its seq."""
    values = {**intent(action), **changes}
    opened.execute(APPEND, values)
    ((seq,),) = opened.fetchall()
    opened.connection.commit()
    return {**values, "seq": seq}


def intent(action: str = "reveal") -> dict[str, Any]:
    """The values of a new intent."""
    return {
        "request": str(uuid.uuid4()),
        "phase": "intent",
        "action": action,
        "record": str(ABOUT_ONE) if action == "reveal" else None,
        "fields": ["ip"],
        "decision": "allowed",
        "amount": 2 if action == "find" else None,
    }


def outcome(opened: cursor) -> dict[str, Any]:
    """The values of the outcome of an intent that was appended."""
    return {**appended(opened), "phase": "outcome", "decision": "done"}


def bound(opened: cursor) -> dict[str, Any]:
    """An intent to find that is bound to two tokens."""
    tokens = [str(uuid.uuid4()) for _ in range(2)]
    digest = search_digest(NONCE, [uuid.UUID(token) for token in tokens])
    found = appended(opened, "find")
    opened.execute("SELECT audit_search(%s, %s)", (found["seq"], digest))
    opened.connection.commit()
    return {**found, "tokens": tokens, "nonce": NONCE}


def bound_to_user(opened: cursor) -> dict[str, Any]:
    """An intent to find that is bound to a user."""
    found = appended(opened, "find", fields=[], amount=None)
    digest = user_digest(NONCE, "nobody")
    opened.execute("SELECT audit_search(%s, %s)", (found["seq"], digest))
    opened.connection.commit()
    return {**found, "nonce": NONCE}


def claimed(opened: cursor) -> dict[str, Any]:
    """The intent of a range that a rotation has claimed."""
    claim = str(uuid.uuid4())
    opened.execute(
        "SELECT audit_write(%s::uuid, 'intent', 'a', 'h', 'keys range', NULL, '{ip}', NULL, NULL, 'r', 'allowed',"
        " NULL)",
        (claim,),
    )
    opened.connection.commit()
    return {"claim": claim}


def registration(opened: cursor) -> dict[str, Any]:
    """A key that registers itself over the head."""
    opened.execute("SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head")
    ((vault_id, seq, hash_),) = opened.fetchall()
    made = FakeHeadSigner().registration(vault_id, Head(seq, bytes(hash_)))
    return {"arn": made.kms_key_arn, "key": made.key.spki, "seq": seq, "signature": made.signature}


Values = Callable[[cursor], Mapping[str, Any]]


def given(**values: object) -> Values:
    """The same values each time."""
    return lambda _: values


def filtered_by(filters: Callable[[], dict[str, object]]) -> Values:
    """The values of a list, with the time of now when it is asked for."""
    return lambda _: {**ALL, **filters()}


CASES: dict[str, tuple[str, Values]] = {
    "an intent to reveal": (APPEND, lambda _: intent()),
    "an intent to find two": (APPEND, lambda _: intent("find")),
    "an intent to make tokens": (APPEND, lambda _: {**intent("tokens"), "amount": 9}),
    "an outcome": (APPEND, outcome),
    "an intent that a process takes up": (
        "SELECT audit_resume(%(seq)s)",
        lambda o: appended(o, "lake open", record=str(ABOUT_ONE), amount=1),
    ),
    "a release": ("SELECT audit_disclose(%(seq)s)", appended),
    "what the log says of a record": ("SELECT audit_about(%(seq)s, 0)", appended),
    "a search": ("SELECT audit_search(%(seq)s, sha256(''))", lambda o: appended(o, "find")),
    "a find": ("SELECT audit_find(%(seq)s, %(nonce)s, %(tokens)s::uuid[], 10)", bound),
    "a user's": ("SELECT audit_find_user(%(seq)s, %(nonce)s, 'nobody')", bound_to_user),
    "the allowance": (blocks("audit/owner.sql")["allowance"], given()),
    "who signs": (blocks("audit/checkpoints.sql")["signer"], given()),
    "a checkpoint": (
        "SELECT audit_checkpoint(500, sha256(''), '\\x00000000', '\\x3006020101020101')",
        given(),
    ),
    "a registration": (
        "SELECT audit_register_key(gen_random_uuid(), 'a', 'h', 'r', %(arn)s, %(key)s, %(seq)s, %(signature)s)",
        registration,
    ),
    "a policy": (NO_QUOTA, given()),
    "a claim": (
        "SELECT rotation_claim(gen_random_uuid(), gen_random_uuid(), %(request)s::uuid)",
        lambda o: appended(o, "keys rotate"),
    ),
    "the rows of a claim": ("SELECT retoken_range(%(claim)s::uuid)", claimed),
    "the end of a claim": ("SELECT rotation_free(%(claim)s::uuid, 1, '{1}')", claimed),
    "a change of a key": (
        "SELECT key_change_write('keys change', gen_random_uuid(), 'a', 'h', 'r', '{1, 2}')",
        given(),
    ),
    "whether keys are explained": (
        blocks("keys/keys.sql")["unexplained"],
        given(key_ids=[5, 77]),
    ),
    "the head": (blocks("audit/checkpoints.sql")["head"], given()),
    **{
        f"doctor's {name}": (blocks("doctor/doctor.sql")[name], given(seq=ENTRIES))
        for name in ("registrations", "checkpoints", "unsigned")
    },
    **{
        f"a list by {what}": (blocks("audit/audit.sql")["entries"], filtered_by(filters))
        for what, filters in FILTERED.items()
    },
    **{
        f"the newest by {what}": (
            blocks("audit/audit.sql")["before_the_newest"],
            filtered_by(filters),
        )
        for what, filters in FILTERED.items()
    },
}


def test_a_query_of_the_log_reads_a_few_pages(million: Scratch) -> None:
    """Each statement and each function that reads the log's tables, all that they do inside included.

    The second time in a session: the first one reads the catalogs.
    """
    read, called = {}, set[str]()
    with million.connect() as connection, connection.cursor() as opened:
        for name, (statement, values) in CASES.items():
            for _ in range(2):
                read[name], some = pages(opened, statement, values(opened))
                called |= some
    assert {name: count for name, count in read.items() if count > MAX_PAGES} == {}
    readers = million.sql(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'vault_etl'::regnamespace AND prosrc ~ %s",
        rf"(FROM|JOIN|INTO|UPDATE)\s+vault_etl\.({READS_IT})\M",
    )
    assert {name for (name,) in readers} - called == OF_SEGMENTS


@pytest.mark.parametrize("name", ["log", "checkpoints"])
@pytest.mark.parametrize("span", [(None, None), (500_000, 500_100)], ids=["whole", "span"])
def test_the_log_is_read_in_order_and_not_sorted(
    million: Scratch, name: str, span: tuple[int | None, int | None]
) -> None:
    """`audit verify` reads all of it, from an index: a sort of it would be on the server's disk first."""
    plan = explained(million, "audit/proof.sql", name, first_seq=span[0], last_seq=span[1])
    assert [line for line in plan if "Index" in line]
    assert not [line for line in plan if re.search(r"(?<!Incremental )Sort$", line)]
    assert any("Index Cond: ((seq >= " in line for line in plan) == (span[0] is not None)


def test_the_beginning_of_a_time_is_found_in_an_index(million: Scratch) -> None:
    """`audit list --since` of a long time does not walk the log from its first entry on."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=150)
    plan = explained(million, "audit/audit.sql", "before_a_time", since=since)
    assert any("Index Only Scan using audit_log_logged_at" in line for line in plan), plan


def explained(million: Scratch, file: str, name: str, **values: object) -> list[str]:
    """The plan of a block, for the role audit."""
    with million.connect("audit") as connection, connection.cursor() as opened:
        opened.execute("EXPLAIN (COSTS OFF) " + blocks(file)[name], values)
        return [line for (line,) in opened.fetchall()]
