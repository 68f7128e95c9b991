"""With the role reveal's own login and access key, every address of a network is tried: one entry, one value."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.attacks.least_privilege.by_hand import StolenKey, kms_of, unwrap
from tests.kit.declared import IP
from tests.kit.events import event
from tests.kit.fakes.vault import find_request, reveal_request
from tests.kit.login_kinds import KINDS
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.pii import Pii
from vault_etl.crypto.keys import KeyMaterial, TokenKey
from vault_etl.crypto.tokens import FieldTokenizer
from vault_etl.platform.postgres import Database
from vault_etl.reveal.find import search_digest
from vault_etl.reveal.postgres import PostgresDisclosedValues

Denied = psycopg2.errors.InsufficientPrivilege
ADDRESSES = [f"198.51.100.{last}" for last in range(256)]
LOGINS = 40
FIND = "SELECT subject FROM vault_etl.audit_find(%s, %s, %s::uuid[], 1000)"
SEARCH = "SELECT vault_etl.audit_search(%s, %s)"
NONCE = bytes(32)


@pytest.fixture(scope="module")
def full(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Forty users, each with an address of one network."""
    bodies = [event(user_id=f"user-{n}", ip=ADDRESSES[6 * n]) for n in range(LOGINS)]
    with filled_vault(keyed, tmp_path_factory.mktemp("full"), bodies) as vault:
        yield vault


@pytest.fixture(scope="module")
def addresses(full: Vault) -> Mapping[uuid.UUID, str]:
    """Every address by its token, under the key that KMS opens for the role."""
    ((key_id, arn, wrapped),) = full.sql(
        "SELECT key_id, kms_key_arn, wrapped_key FROM data_keys WHERE purpose = 'token' AND field = 'ip'",
        role="reveal",
    )
    stolen = StolenKey(key_id, "token", "ip", arn, bytes(wrapped))
    opened = unwrap(kms_of(full.environment("reveal")), stolen)
    tokenizer = FieldTokenizer(TokenKey(key_id, IP, 1, KeyMaterial(opened)), KINDS[IP])
    tried = {tokenizer.token(Pii.of_text(address)): address for address in ADDRESSES}
    held = full.sql("SELECT masked_ip FROM user_logins")
    assert len(held) == LOGINS
    assert {token for (token,) in held} <= set(tried), "with the tokens in hand all are reversed"
    return tried


@pytest.fixture
def session(full: Vault) -> Iterator[connection]:
    """The role's login without our program."""
    with closing(connect(full.database_url("reveal"))) as opened:
        yield opened


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("table", ["user_logins", "user_logins_masked", "user_logins_undated"])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT masked_ip FROM {}",
        "SELECT user_id FROM {}",
        "SELECT record_id FROM {}",
        "SELECT count(*) FROM {}",
        "SELECT 1 FROM {} WHERE masked_ip = gen_random_uuid()",
        "EXPLAIN SELECT 1 FROM {} WHERE masked_ip = gen_random_uuid()",
        "COPY {} (masked_ip) TO STDOUT",
        "PREPARE p AS SELECT masked_ip FROM {}; EXECUTE p",
        "UPDATE {} SET masked_ip = NULL RETURNING user_id",
        "DELETE FROM {} RETURNING user_id",
    ],
)
def test_there_is_no_token_to_compare_with(session: connection, table: str, query: str) -> None:
    """No column, count, plan or returned row of the records without an entry."""
    with session.cursor() as cursor, pytest.raises(Denied):
        cursor.execute(query.format(f"vault_etl.{table}"))


@pytest.mark.usefixtures("addresses")
def test_nothing_of_the_rows_is_in_the_statistics(full: Vault, session: connection) -> None:
    """Most common values and histograms are shown to who may read the column."""
    full.sql("ANALYZE user_logins")
    assert full.sql("SELECT count(*) > 0 FROM pg_stats WHERE tablename = 'user_logins'") == [
        (True,)
    ]
    with session.cursor() as cursor:
        for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
            cursor.execute(
                f"SELECT count(*) FROM {view} WHERE tablename LIKE 'user\\_logins%'"  # noqa: S608
            )
            assert cursor.fetchone() == (0,)


def test_one_entry_is_one_address(
    full: Vault, session: connection, addresses: Mapping[uuid.UUID, str]
) -> None:
    """All 256 addresses under one intent to find: bound to one of them, it answers for that one alone."""
    database = Database(full.database_url("reveal"))
    receipt = PostgresAuditLog(database).intend(find_request())
    database.close()
    learned: set[str] = set()
    with session.cursor() as cursor:
        for token in addresses:  # in transactions that are rolled back, so that nothing is used up
            for bound in (True, False):
                try:
                    if bound:
                        digest = search_digest(NONCE, [token])
                        cursor.execute(SEARCH, (receipt.seq, digest))
                    cursor.execute(FIND, (receipt.seq, NONCE, [str(token)]))
                    learned |= {user for (user,) in cursor.fetchall()}
                except Denied:
                    pass
                session.rollback()
        assert learned == set()
        first = next(iter(addresses))
        cursor.execute(SEARCH, (receipt.seq, search_digest(NONCE, [first])))
        session.commit()
        for token in addresses:
            try:
                cursor.execute(FIND, (receipt.seq, NONCE, [str(token)]))
                learned |= {user for (user,) in cursor.fetchall()}
            except Denied:
                pass
            session.rollback()
    assert learned == {"user-0"}


def test_a_reveal_gives_the_token_of_one_record(
    full: Vault, addresses: Mapping[uuid.UUID, str]
) -> None:
    """The same as its value, which the entry is about; an intent for no record gives none."""
    ((record_id,),) = full.sql("SELECT record_id FROM user_logins WHERE user_id = 'user-7'")
    database = Database(full.database_url("reveal"))
    audit, disclosed = PostgresAuditLog(database), PostgresDisclosedValues(database)
    one = disclosed.disclose(audit.intend(reveal_request(record_id, IP)))
    none = disclosed.disclose(audit.intend(reveal_request(None, IP)))
    database.close()
    assert [addresses.get(token) for value in one.values() for token in value.tokens if token] == [
        ADDRESSES[42]
    ]
    assert none == {}
