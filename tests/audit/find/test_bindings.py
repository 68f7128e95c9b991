"""`audit_find` for an attacker with the reveal role's login: an intent finds only the tokens that it is bound to."""

from __future__ import annotations

import os
import uuid

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.audit.find.intents import FIND, NONCE, SEARCH, Denied, bind, find, intent, look
from tests.kit.declared import IP
from tests.kit.entries import append_open
from tests.kit.scratch import Scratch
from vault_etl.records.messages import SealedRecord
from vault_etl.reveal.find import search_digest


def test_an_intent_is_one_value_however_often_it_is_rolled_back(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """After a find that is rolled back, other tokens are refused: they were never committed."""
    seq, mine, other = intent(shared), records[0].tokens[IP], records[2].tokens[IP]
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


def test_an_intent_of_many_values_finds_exactly_that_many(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """An intent finds exactly as many values as it has counted for the quota."""
    mine, other = records[0].tokens[IP], records[2].tokens[IP]
    assert look(session, intent(shared, amount=2), [mine, other]) == ["ann", "bob", "cyd"]
    for amount, tokens in ((2, [mine]), (2, [mine, other, mine]), (1, [mine, other]), (3, [])):
        seq = intent(shared, amount=amount)
        with pytest.raises(Denied, match="do not fit the values"):
            look(session, seq, tokens)
        session.rollback()


def test_a_binding_that_could_be_rolled_back_finds_nothing(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Bind and find in one transaction are refused, with a savepoint or not; an intent of it binds nothing either."""
    seq, token = intent(shared), records[0].tokens[IP]
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


@pytest.mark.parametrize("count", [2, 10_000])
def test_a_value_has_one_token_for_each_token_key(
    shared: Scratch, session: connection, records: list[SealedRecord], count: int
) -> None:
    """Keys that are destroyed do not count: a list to try is refused, in one dimension or two."""
    tokens = [records[0].tokens[IP], *(uuid.uuid4() for _ in range(count - 1))]
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


def test_two_generations_are_two_tokens(scratch: Scratch) -> None:
    """A value has two tokens while both generations have keys, and one when one of them is destroyed."""
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


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), None])
def test_a_digest_has_32_bytes(shared: Scratch, session: connection, digest: bytes | None) -> None:
    """NULL would leave the intent unbound, for any tokens."""
    with session.cursor() as opened, pytest.raises(psycopg2.DataError):
        opened.execute(SEARCH, (intent(shared), digest))


def test_a_nonce_has_32_bytes(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A longer nonce takes the first token's place: two lists would have one digest, and be two values."""
    first, second = records[0].tokens[IP], records[2].tokens[IP]
    seq = intent(shared)
    bind(session, seq, [first, second])
    with session.cursor() as opened:
        for nonce in (NONCE + first.bytes, None):
            with pytest.raises(Denied, match="not bound"):
                opened.execute(FIND, (seq, nonce, [second], 10))
            session.rollback()


def test_a_binding_is_deleted_with_its_answer(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """Until the answer the binding is a digest, which no token leads to without the nonce."""
    seq, token = intent(shared), records[0].tokens[IP]
    bind(session, seq, [token])
    held = "SELECT search FROM audit_disclosed WHERE seq = %s"
    assert bytes(shared.value(held, seq)) == search_digest(NONCE, [token])
    with session.cursor() as opened:
        find(opened, seq, [token])
    session.commit()
    assert shared.value(held, seq) is None
