"""`audit_find` as an attacker with the reveal role's login and token keys meets it: a value a look, no more."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from psycopg2.extensions import connection, cursor

from tests.kit.entries import NO_QUOTA, append_both, append_committed, append_open
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.crypto.fields import Field
from vault_etl.records.messages import SealedRecord
from vault_etl.reveal.find import search_digest

Denied = psycopg2.errors.InsufficientPrivilege
SEARCH = "SELECT public.audit_search(%s, %s)"
FIND = (
    "SELECT record_id, user_id, create_date, holders FROM public.audit_find(%s, %s, %s::uuid[], %s)"
)
NONCE = bytes(range(32))

Tokens = Sequence[uuid.UUID]


@pytest.fixture(scope="module")
def records(shared: Scratch) -> list[SealedRecord]:
    """Three logins: two of one address, and none of one device."""
    shared.sql(NO_QUOTA)
    shared.add_token_keys()
    keys = shared.write_keys()
    one, two, three = (sealed_record(keys, user_id=user) for user in ("ann", "bob", "cyd"))
    two.tokens[Field.IP] = one.tokens[Field.IP]
    with shared.loader() as loader:
        loader.load([one, two, three], [], keys)
    return [one, two, three]


@pytest.fixture
def session(shared: Scratch) -> Iterator[connection]:
    """The attacker's."""
    with shared.connect("reveal") as opened:
        yield opened


def intent(shared: Scratch, role: str = "reveal", /, **changes: object) -> int:
    """A committed intent to find an address, changed as told; its seq."""
    return append_committed(
        shared, role, **{"action": "find", "fields": ["ip"], "record_id": None, **changes}
    )


def bind(session: connection, seq: int, tokens: Tokens) -> None:
    """Bind an intent to these tokens, and commit."""
    with session.cursor() as opened:
        opened.execute(SEARCH, (seq, search_digest(NONCE, tokens)))
    session.commit()


def find(opened: cursor, seq: int, tokens: Tokens, limit: int | None = 10) -> list[str]:
    """Return the records that hold one of these tokens. Does not commit."""
    opened.execute(FIND, (seq, NONCE, list(tokens), limit))
    return sorted(user for _, user, _, _ in opened.fetchall())


def look(session: connection, seq: int, tokens: Tokens) -> list[str]:
    """Find as an honest client does: bind, commit, find, commit."""
    bind(session, seq, tokens)
    with session.cursor() as opened:
        found = find(opened, seq, tokens)
    session.commit()
    return found


def test_a_committed_intent_finds_who_holds_its_value(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """By the token in the field that it names, and in no other field."""
    token = records[0].tokens[Field.IP]
    assert look(session, intent(shared), [token]) == ["ann", "bob"]
    assert look(session, intent(shared, fields=["device_id"]), [token]) == []
    device = records[2].tokens[Field.DEVICE_ID]
    assert look(session, intent(shared), [device]) == []
    assert look(session, intent(shared, fields=["device_id"]), [device]) == ["cyd"]


def test_one_intent_is_one_value_however_often_it_is_rolled_back(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Look, roll back, look for others: the second set of tokens was never committed, and is refused."""
    seq, mine, other = intent(shared), records[0].tokens[Field.IP], records[2].tokens[Field.IP]
    bind(session, seq, [mine])
    with session.cursor() as opened:
        for _ in range(2):
            assert find(opened, seq, [mine]) == ["ann", "bob"]
            session.rollback()
        for nonce in (NONCE, os.urandom(32)):
            with pytest.raises(Denied, match="not bound to these tokens"):
                opened.execute(FIND, (seq, nonce, [other], 10))
            session.rollback()
        with pytest.raises(Denied, match="was used before"):
            opened.execute(SEARCH, (seq, search_digest(NONCE, [other])))
        session.rollback()
        assert find(opened, seq, [mine]) == ["ann", "bob"]


def test_an_intent_of_many_values_looks_for_so_many(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """An intent finds exactly as many values as it has counted for the quota."""
    mine, other = records[0].tokens[Field.IP], records[2].tokens[Field.IP]
    assert look(session, intent(shared, amount=2), [mine, other]) == ["ann", "bob", "cyd"]
    for amount, tokens in ((2, [mine]), (2, [mine, other, mine]), (1, [mine, other]), (3, [])):
        seq = intent(shared, amount=amount)
        with pytest.raises(Denied, match="do not fit the values"):
            look(session, seq, tokens)
        session.rollback()


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 65_537},
        {"fields": ["device_id", "ip"]},
        {"fields": []},
        {"action": "reveal"},
        {"action": "quarantine show", "fields": ["quarantine"]},
    ],
)
def test_an_amount_is_of_a_search_or_of_tokens(shared: Scratch, changes: dict[str, object]) -> None:
    """No entry is made of any other, so none counts for less than it releases."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="amount"):
        intent(shared, **{"amount": 2, **changes})
    seq = intent(shared, amount=65_536, reason="x" * 500)
    assert shared.value("SELECT reason FROM audit_log WHERE seq = %s", seq) == (
        f"65536 values: {'x' * 486}"
    )


def test_a_binding_that_could_be_rolled_back_finds_nothing(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Bind and find in one transaction, a savepoint between or not; nor does an intent of it bind."""
    seq, token = intent(shared), records[0].tokens[Field.IP]
    with session.cursor() as opened:
        for between in ("SELECT 1", "SAVEPOINT a", "SET LOCAL ROLE vault_etl_reveal"):
            opened.execute("SAVEPOINT b")
            opened.execute(SEARCH, (seq, search_digest(NONCE, [token])))
            opened.execute("RELEASE SAVEPOINT b")
            opened.execute(between)
            with pytest.raises(Denied, match="not bound"):
                find(opened, seq, [token])
            session.rollback()
    with shared.connect() as owner, owner.cursor() as opened:
        mine = append_open(opened, action="find", fields=["ip"])
        with pytest.raises(Denied, match="no committed intent"):
            opened.execute(SEARCH, (mine, search_digest(NONCE, [token])))


def test_an_answer_comes_once(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A second is refused, and of ten sessions that ask at once one gets it."""
    token, seq = records[0].tokens[Field.IP], intent(shared)
    assert look(session, seq, [token])
    with session.cursor() as opened, pytest.raises(Denied, match="not bound"):
        find(opened, seq, [token])
    session.rollback()
    bind(session, raced := intent(shared), [token])

    def got(_: int) -> bool:
        with shared.connect("reveal") as own, own.cursor() as opened:
            try:
                found = find(opened, raced, [token])
            except Denied:
                return False
            own.commit()
            return bool(found)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(got, range(10))) == 1


@pytest.mark.parametrize("count", [2, 10_000])
def test_there_are_no_more_tokens_than_a_value_has(
    shared: Scratch, session: connection, records: list[SealedRecord], count: int
) -> None:
    """One a token key that is not destroyed: a list to try is refused, in one dimension or two."""
    tokens = [records[0].tokens[Field.IP], *(uuid.uuid4() for _ in range(count - 1))]
    seq = intent(shared)
    bind(session, seq, tokens)
    with session.cursor() as opened:
        with pytest.raises(Denied, match="do not fit the values"):
            find(opened, seq, tokens)
        session.rollback()
        for shape in ([], [tokens[:1]], [tokens[:1], tokens[1:2]], None):
            with pytest.raises(Denied, match="do not fit the values"):
                opened.execute(FIND, (seq, NONCE, shape, 10))
            session.rollback()


def test_a_second_generation_is_a_second_token(scratch: Scratch) -> None:
    """While both have keys, and not when one is destroyed."""
    scratch.add_token_keys()
    scratch.add_token_keys(2, "pending")
    tokens = [uuid.uuid4(), uuid.uuid4()]
    with scratch.connect("reveal") as session:
        assert look(session, intent(scratch), tokens) == []
        scratch.sql(
            "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE generation = 2"
        )
        with pytest.raises(Denied, match="do not fit the values"):
            look(session, intent(scratch), tokens)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "reveal"},
        {"action": "quarantine show"},
        {"decision": "denied"},
    ],
)
def test_only_an_allowed_intent_to_find_finds(
    shared: Scratch, session: connection, records: list[SealedRecord], changes: dict[str, object]
) -> None:
    """No other action's, and no denied one."""
    token = records[0].tokens[Field.IP]
    seq = intent(shared, **changes)
    with pytest.raises(Denied, match="no committed intent"):
        bind(session, seq, [token])
    session.rollback()
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        find(opened, seq, [token])


def test_an_outcome_finds_nothing(session: connection, records: list[SealedRecord]) -> None:
    """An outcome, which ends the access, allows no find."""
    with session.cursor() as opened:
        seq = append_both(opened, action="find", fields=["ip"])
    session.commit()
    with pytest.raises(Denied, match="no committed intent"):
        bind(session, seq, [records[0].tokens[Field.IP]])


@pytest.mark.parametrize("fields", [[], ["device_id", "ip"], ["quarantine"]])
def test_an_intent_finds_in_one_personal_field(
    shared: Scratch, session: connection, records: list[SealedRecord], fields: list[str]
) -> None:
    """The log names what was looked through: neither two fields nor none nor quarantine."""
    with pytest.raises(Denied, match="do not fit the values"):
        look(session, intent(shared, fields=fields), [records[0].tokens[Field.IP]])


def test_a_find_releases_no_record(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """One that names a record is no way to its ciphertexts."""
    seq = intent(shared, record_id=records[0].record_id)
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        opened.execute("SELECT * FROM public.audit_disclose(%s)", (seq,))


@pytest.mark.parametrize("seq", [0, -1, 10**12, None])
def test_without_an_intent_nothing_is_found(
    session: connection, records: list[SealedRecord], seq: int | None
) -> None:
    """A number that is no entry, and NULL."""
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        find(opened, seq, [records[0].tokens[Field.IP]])  # type: ignore[arg-type]


def test_another_logins_intent_is_its_own(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A colleague with the same role can neither bind nor use the intent."""
    token = records[0].tokens[Field.IP]
    seq = intent(shared)
    bind(session, seq, [token])
    password = shared.server.passwords.of("test_finder")
    shared.sql(
        f"CREATE ROLE test_finder LOGIN PASSWORD '{password}'; GRANT vault_etl_reveal TO test_finder"
    )
    try:
        with shared.connect("finder") as own:
            with own.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
                find(opened, seq, [token])
            own.rollback()
            with pytest.raises(Denied, match="no committed intent"):
                bind(own, intent(shared), [token])
    finally:
        shared.sql("DROP ROLE test_finder")


@pytest.mark.parametrize(("age", "found"), [("50 s", True), ("61 s", False), ("-61 s", False)])
def test_an_intent_to_find_lasts_a_minute(
    shared: Scratch, session: connection, records: list[SealedRecord], age: str, found: bool
) -> None:
    """Bound in time, it still finds nothing after 60 s."""
    token = records[0].tokens[Field.IP]
    seq = intent(shared)
    bind(session, seq, [token])
    shared.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "UPDATE audit_log SET logged_at = clock_timestamp() - %s::interval WHERE seq = %s; COMMIT",
        age,
        seq,
    )
    with session.cursor() as opened:
        if found:
            assert find(opened, seq, [token])
        else:
            with pytest.raises(Denied, match="no committed intent"):
                find(opened, seq, [token])


def test_a_look_lists_a_thousand_and_counts_all(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Whatever the client asks for: NULL and 2³¹ - 1 are no way to all rows."""
    many = uuid.uuid4()
    shared.sql(
        "INSERT INTO user_logins (record_id, user_id, device_type, masked_ip, token_generation, create_date)"
        " SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'many', 'ios', %s, 1, '2026-01-31'"
        " FROM generate_series(1, 1002) AS n",
        many,
    )
    del records
    for limit, listed in ((None, 1000), (2**31 - 1, 1000), (3, 3)):
        seq = intent(shared)
        bind(session, seq, [many])
        with session.cursor() as opened:
            opened.execute(FIND, (seq, NONCE, [many], limit))
            rows = opened.fetchall()
        session.commit()
        assert len(rows) == listed
        assert {holders for *_, holders in rows} == {1002}


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), None])
def test_a_digest_has_32_bytes(shared: Scratch, session: connection, digest: bytes | None) -> None:
    """NULL would leave the intent unbound, for any tokens."""
    with session.cursor() as opened, pytest.raises(psycopg2.DataError):
        opened.execute(SEARCH, (intent(shared), digest))


def test_a_nonce_has_32_bytes(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A longer one takes the first token's place: two lists would have one digest, and be two values."""
    first, second = records[0].tokens[Field.IP], records[2].tokens[Field.IP]
    seq = intent(shared)
    bind(session, seq, [first, second])
    with session.cursor() as opened:
        for nonce in (NONCE + first.bytes, None):
            with pytest.raises(Denied, match="not bound"):
                opened.execute(FIND, (seq, nonce, [second], 10))
            session.rollback()


def test_what_a_look_is_bound_to_is_gone_with_its_answer(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Until then it is a digest that no token leads to without the nonce; afterwards it is nothing."""
    seq, token = intent(shared), records[0].tokens[Field.IP]
    bind(session, seq, [token])
    held = "SELECT search FROM audit_disclosed WHERE seq = %s"
    assert bytes(shared.value(held, seq)) == search_digest(NONCE, [token])
    with session.cursor() as opened:
        find(opened, seq, [token])
    session.commit()
    assert shared.value(held, seq) is None


@pytest.mark.parametrize("role", ["ingest", "rotate", "re-encrypt", "erase", "audit", "analyst"])
@pytest.mark.parametrize("statement", [SEARCH.replace("%s", "1, ''", 1).replace(", %s", ""), FIND])
def test_no_other_role_finds(shared: Scratch, role: str, statement: str) -> None:
    """EXECUTE is reveal's alone."""
    values = (1, NONCE, [uuid.uuid4()], 1) if statement == FIND else ()
    with pytest.raises(Denied, match="permission denied for function"):
        shared.sql(statement, *values, role=role)
