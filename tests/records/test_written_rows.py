"""Rows that no worker of ours writes, tried with the real logins: each is refused, whatever is granted."""

from __future__ import annotations

import io
import uuid
from typing import Any

import psycopg2
import pytest

from tests.kit.declarations import IN_FORCE
from tests.kit.declared import DEVICE_ID, FIELDS, IP
from tests.kit.scratch import Scratch, ciphertext, new_record_id
from tests.kit.written_rows import INSERT, Site, site
from vault_etl.crypto.fields import QUARANTINE

__all__ = ["site"]

Denied = psycopg2.errors.InsufficientPrivilege
CheckViolation = psycopg2.errors.CheckViolation
MIB = 2**20


SEALED = ciphertext(9)
U = uuid.UUID(int=7)
NOT_SEALED = {
    "nothing": b"",
    "text": b"198.18.77.203",
    "another format": b"\x02" + SEALED[1:],
    "too short": SEALED[:33],
    "no whole block": SEALED[:-1],
    "a block too long": ciphertext(9, 113 + 16),
    "40 MB": ciphertext(9, 40_000_001),
}


@pytest.mark.parametrize("role", ["ingest", "admin"])
@pytest.mark.parametrize("garbage", NOT_SEALED)
def test_bytes_that_are_not_a_ciphertext_are_refused(site: Site, garbage: str, role: str) -> None:
    """A named CHECK refuses another form, and more bytes than a worker writes, from the owner too."""
    value = NOT_SEALED[garbage]
    with pytest.raises(CheckViolation) as refused:
        site.insert(site.good(ip=value), role=role)
    assert refused.value.diag.constraint_name == "ip_is_sealed"
    is_long = garbage == "a block too long"
    long = ciphertext(9, 1073 + 16) if is_long else value
    with pytest.raises(CheckViolation) as refused:
        site.insert(site.good(device_id=long), role=role)
    assert refused.value.diag.constraint_name == "device_id_is_sealed"
    long = ciphertext(9, MIB + 49 + 16) if is_long else value
    with pytest.raises(CheckViolation) as refused:
        site.quarantine(long, role=role)
    assert refused.value.diag.constraint_name == "body_is_sealed"


def test_the_longest_value_of_a_worker_is_accepted(site: Site) -> None:
    """64 bytes of address, 256 code points of four bytes, a body of 1 MiB: no value is refused for its length."""
    ip, device_id, body = (site.keys[field] for field in (IP, DEVICE_ID, QUARANTINE))
    site.insert(site.good(ip=ciphertext(ip, 113), device_id=ciphertext(device_id, 1073)))
    site.quarantine(ciphertext(body, MIB + 49))


@pytest.mark.parametrize(
    "key",
    ["unknown", "another login's", "decrypt_only", "expired", "device_id", "quarantine", "token"],
)
def test_a_key_that_is_not_the_logins_own_is_refused(site: Site, key: str) -> None:
    """A foreign id, another login's, retired, expired, of another field or purpose; with and without the fence."""
    row = site.good(ip=ciphertext(site.keys[key]))
    with pytest.raises(Denied):
        site.insert(row)
    with site.scratch.connect("ingest") as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")
        with pytest.raises(Denied) as refused:
            cursor.execute(INSERT.format("vault_etl.user_logins"), (new_record_id(), *row.values))
    assert refused.value.diag.message_detail is None
    if key != "quarantine":
        with pytest.raises(Denied):
            site.quarantine(ciphertext(site.keys[key]))
    with pytest.raises(Denied):
        site.quarantine(ciphertext(site.keys["another login's body"]))


def test_one_bad_row_refuses_its_statement(site: Site) -> None:
    """One bad row refuses all good rows of its statement, and of COPY too."""
    good, bad = site.good(), site.good(device_id=ciphertext(site.keys["ip"]))
    with site.scratch.connect("ingest") as connection, connection.cursor() as cursor:
        values = INSERT.format("vault_etl.user_logins").split(" VALUES ")[1]
        many = INSERT.format("vault_etl.user_logins") + f", {values}" * 20
        rows = [good] * 20 + [bad]
        with pytest.raises(Denied):
            cursor.execute(many, [v for row in rows for v in (new_record_id(), *row.values)])
    columns = INSERT.split("(", 1)[1].split(")", 1)[0]
    line = [new_record_id(), "u", "d", f"\\\\x{SEALED.hex()}", f"\\\\x{SEALED.hex()}", U, U]
    text = "\t".join(map(str, [*line, "\\N", "\\N", 1, "\\N", "2026-01-31"]))
    with (
        site.scratch.connect("ingest") as connection,
        connection.cursor() as cursor,
        pytest.raises(Denied),
    ):
        cursor.copy_expert(f"COPY vault_etl.user_logins ({columns}) FROM STDIN", io.StringIO(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": None},
        {"next_generation": 2},
        {"next_generation": 1, "next_masked_ip": U, "next_masked_device_id": U},
        {"next_masked_ip": U, "next_masked_device_id": U},
        {"ip": None},
        {"masked_ip": None},
        {"device_id": None, "masked_device_id": None},
        {"ip": None, "device_id": None, "masked_ip": None, "masked_device_id": None},
    ],
    ids=",".join,
)
def test_a_record_has_all_its_parts_of_the_generation_in_use(
    site: Site, changes: dict[str, Any]
) -> None:
    """No NULL, no other generation, and no next token that is not asked for."""
    with pytest.raises(Denied):
        site.insert(site.good(**changes))
    with pytest.raises(Denied):
        site.quarantine(None)


def test_a_record_of_another_generation_is_refused_by_the_table(site: Site) -> None:
    """The table refuses such a record from every login, the owner included."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="tokens_of_one_generation"):
        site.insert(site.good(generation=2))


def test_a_partition_is_no_way_around(site: Site) -> None:
    """No role has a right on the name of a partition: its rows come through the table, whose trigger sees them."""
    partitions = site.scratch.sql(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'user_logins'::regclass"
    )
    assert len(partitions) > 6
    for (partition,) in partitions:
        with pytest.raises(Denied, match="permission denied"):
            site.insert(site.good(), table=f"vault_etl.{partition}")


def test_an_old_snapshot_is_no_way_around(site: Site) -> None:
    """In a stricter isolation level the trigger would read the keys as they were before the fence."""
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        with site.scratch.connect("ingest") as connection, connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            with pytest.raises(Denied):
                cursor.execute(
                    INSERT.format("vault_etl.user_logins"), (new_record_id(), *site.good().values)
                )


def test_a_role_that_may_update_changes_no_more_than_a_rotation(site: Site) -> None:
    """A value is replaced under an own key in force, never from or to NULL; a next token has a pending generation."""
    record_id = site.insert(site.good())
    erased = site.insert(site.good())
    body = site.quarantine(ciphertext(site.keys["quarantine"]))
    erase = f"SELECT erase(gen_random_uuid(), 'a', 'h', %s, NULL, NULL, 'r', {IN_FORCE})"
    site.scratch.sql(erase, erased)
    own = ciphertext(site.keys["another login's"])
    own_body = ciphertext(site.keys["another login's body"])
    update = "UPDATE user_logins SET {} = %s WHERE record_id = %s"
    refused: list[tuple[str, str, object, uuid.UUID]] = [
        ("re-encrypt", "ip_ciphertext", None, record_id),
        *(
            ("re-encrypt", "ip_ciphertext", ciphertext(site.keys[key]), record_id)
            for key in ("ip", "another login's decrypt_only", "another login's expired")
        ),
        ("re-encrypt", "device_id_ciphertext", own, record_id),
        ("re-encrypt", "ip_ciphertext", own, erased),
        ("re-encrypt", "next_masked_ip", uuid.uuid4(), record_id),
        ("re-encrypt", "next_token_generation", 1, record_id),
        ("rotate", "next_masked_ip", uuid.uuid4(), record_id),
        ("rotate", "next_token_generation", 1, record_id),
    ]
    before = site.scratch.sql("SELECT user_logins::text FROM user_logins ORDER BY 1")
    for role, column, value, row in refused:
        with pytest.raises(Denied):
            site.scratch.sql(update.format(column), value, row, role=role)
    assert site.scratch.sql("SELECT user_logins::text FROM user_logins ORDER BY 1") == before
    change = "UPDATE quarantine SET body_ciphertext = %s WHERE record_id = %s"
    emptied = site.quarantine(ciphertext(site.keys["quarantine"]))
    site.scratch.sql(change, None, emptied)
    not_in_force = ("another login's body decrypt_only", "another login's body expired")
    others = [ciphertext(site.keys[key]) for key in ("quarantine", *not_in_force)]
    for value, row in [(own_body, emptied), *((value, body) for value in (None, own, *others))]:
        with pytest.raises(Denied):
            site.scratch.sql(change, value, row, role="re-encrypt")
    site.scratch.sql(update.format("ip_ciphertext"), own, record_id, role="re-encrypt")
    site.scratch.sql(change, own_body, body, role="re-encrypt")


def test_rows_have_both_tokens_while_a_generation_is_pending(scratch: Scratch) -> None:
    """Next tokens are of the pending generation; the role rotate makes none, not even then."""
    scratch.add_token_keys()
    scratch.add_token_keys(2, "pending")
    site = Site(scratch, {field: scratch.add_data_key(field).key_id for field in FIELDS})
    twins = {"next_masked_ip": uuid.uuid4(), "next_masked_device_id": uuid.uuid4()}
    record_id = site.insert(site.good(**twins, next_generation=2))
    for changes in ({}, {"next_generation": 2}, twins, {**twins, "next_generation": 3}):
        with pytest.raises(Denied):
            site.insert(site.good(**changes))
    fill = "UPDATE user_logins SET next_masked_ip = %s WHERE record_id = %s"
    with pytest.raises(Denied):
        scratch.sql(fill, uuid.uuid4(), record_id, role="rotate")
    scratch.sql(fill, uuid.uuid4(), record_id, role="re-encrypt")
