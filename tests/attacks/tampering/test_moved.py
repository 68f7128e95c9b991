"""Values and rows that were moved, and the columns of a row that a value is bound to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.attacks.tampering.by_hand import sealed_by_hand
from tests.attacks.tampering.site import Site, opens, refused, value
from tests.kit.declared import DEVICE_ID, IP
from tests.vectors.oracle import pad
from vault_etl.base.errors import NotFoundError
from vault_etl.crypto.fields import FieldName

SWAP_FIELDS = """
    UPDATE user_logins
    SET ip_ciphertext = device_id_ciphertext, device_id_ciphertext = ip_ciphertext
"""
SWAP_FIELDS_AND_TOKENS = """
    UPDATE user_logins
    SET ip_ciphertext = device_id_ciphertext, device_id_ciphertext = ip_ciphertext,
        masked_ip = masked_device_id, masked_device_id = masked_ip
"""
SWAP_ROWS = """
    UPDATE user_logins AS mine SET ip_ciphertext = its.ip_ciphertext
    FROM user_logins AS its
    WHERE (mine.record_id, its.record_id) IN ((%(a)s, %(b)s), (%(b)s, %(a)s))
"""
SWAP_ROWS_AND_TOKENS = """
    UPDATE user_logins AS mine SET ip_ciphertext = its.ip_ciphertext, masked_ip = its.masked_ip
    FROM user_logins AS its
    WHERE (mine.record_id, its.record_id) IN ((%(a)s, %(b)s), (%(b)s, %(a)s))
"""


def test_the_untouched_vault_opens(site: Site) -> None:
    """Every record of it, with all its fields."""
    assert all(opens(site, record_id) for record_id in site.records)


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param([SWAP_FIELDS], id="values"),
        pytest.param([SWAP_FIELDS_AND_TOKENS], id="values and tokens"),
    ],
)
@pytest.mark.parametrize("field", [IP, DEVICE_ID])
def test_a_value_swapped_between_fields_does_not_open(
    site: Site, field: FieldName, statements: list[str]
) -> None:
    """An address is not shown as a device, nor a device as an address."""
    for statement in statements:
        site.sql(statement)
    refused(site, site.records[0], field)


@pytest.mark.parametrize("other", [1, 2], ids=["the same person", "another person"])
@pytest.mark.parametrize(
    "statement", [SWAP_ROWS, SWAP_ROWS_AND_TOKENS], ids=["alone", "with token"]
)
def test_a_value_swapped_between_rows_does_not_open(site: Site, statement: str, other: int) -> None:
    """A swapped value does not open under one data key, of one field, of one person, with its own token."""
    pair = (site.records[0], site.records[other])
    named = dict(zip("ab", pair, strict=True))
    with site.connection.cursor() as cursor:
        cursor.execute(statement, named)
        assert cursor.rowcount == 2
    for record_id in pair:
        refused(site, record_id, IP, reveal=site.warm)
        assert opens(site, record_id, DEVICE_ID, reveal=site.warm)


def test_a_copied_value_does_not_open(site: Site) -> None:
    """One row's value in all others: a database writer cannot ask about one record to see another."""
    stored = site.ciphertext(site.records[2])
    for record_id in site.records[:2]:
        site.put(record_id, stored)
        refused(site, record_id, IP, reveal=site.warm)


@pytest.mark.parametrize("field", [IP, DEVICE_ID])
def test_a_quarantined_body_in_a_record_does_not_open(site: Site, field: FieldName) -> None:
    """A quarantined body does not open even in a record of the same id."""
    ((body,),) = site.sql("SELECT body_ciphertext FROM quarantine")
    site.put(site.records[0], bytes(body), field)
    refused(site, site.records[0], field)
    site.sql(
        "UPDATE user_logins SET record_id = %s WHERE record_id = %s",
        site.quarantined,
        site.records[0],
    )
    refused(site, site.quarantined, field)


NEW_IDS: dict[str, Callable[[uuid.UUID], uuid.UUID]] = {
    "its last bit": lambda record_id: uuid.UUID(int=record_id.int ^ 1),
    "a bit of its hash": lambda record_id: uuid.UUID(int=record_id.int ^ 1 << 40),
    "its time": lambda record_id: uuid.UUID(int=record_id.int + (1 << 80)),
    "all but the time": lambda record_id: uuid.UUID(int=record_id.int >> 80 << 80),
}


@pytest.mark.parametrize("change", NEW_IDS.values(), ids=NEW_IDS.keys())
def test_a_row_under_another_record_id_does_not_open(
    site: Site, change: Callable[[uuid.UUID], uuid.UUID]
) -> None:
    """The row does not open, and no row is left under its old record id."""
    old, new = site.records[0], change(site.records[0])
    site.sql("UPDATE user_logins SET record_id = %s WHERE record_id = %s", new, old)
    refused(site, new, IP, reveal=site.warm)
    refused(site, new, DEVICE_ID, reveal=site.warm)
    with pytest.raises(NotFoundError):
        opens(site, old, reveal=site.warm)


@pytest.mark.parametrize("user_id", ["bob", "Alice", "alice ", "alic", "alicf", "a", "\u0430lice"])
def test_a_row_of_another_person_does_not_open(site: Site, user_id: str) -> None:
    """An address is never laid to someone whose it was not."""
    site.sql("UPDATE user_logins SET user_id = %s WHERE record_id = %s", user_id, site.records[0])
    refused(site, site.records[0], IP, reveal=site.warm)
    refused(site, site.records[0], DEVICE_ID, reveal=site.warm)


ELSEWHERE: dict[str, dict[str, Any]] = {
    "another table": {"table": "quarantine"},
    "another field": {"field": "device_id"},
    "another record": {"record": uuid.UUID(int=1)},
    "another key": {"key_id": 1},
    "another person": {"user_id": "bob"},
    "nobody": {"user_id": ""},
}


@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_value_sealed_for_another_place_does_not_open(
    site: Site, elsewhere: dict[str, Any]
) -> None:
    """Key, padding and token are the row's own: each part of the associated data counts alone."""
    record_id = site.records[0]
    padded = pad(value(site, record_id, IP))
    site.put(record_id, sealed_by_hand(site, record_id, IP, padded))
    assert opens(site, record_id, IP, reveal=site.warm)
    site.put(record_id, sealed_by_hand(site, record_id, IP, padded, None, elsewhere))
    refused(site, record_id, IP, reveal=site.warm)


TOKENS = {
    "a random token": "masked_ip = gen_random_uuid()",
    "a bit of the token": (
        "masked_ip = (translate(left(masked_ip::text, 1), '0123456789abcdef', '1032547698badcfe')"
        " || substr(masked_ip::text, 2))::uuid"
    ),
    "the other field's token": "masked_ip = masked_device_id",
    "another row's token": (
        "masked_ip = (SELECT o.masked_ip FROM user_logins AS o WHERE o.user_id = 'bob')"
    ),
    "no token": "masked_ip = NULL",
    "a token of zeros": "masked_ip = '00000000-0000-0000-0000-000000000000'",
    "another generation": "token_generation = 2",
    "generation 0": "token_generation = 0",
    "no generation": "token_generation = NULL",
}


@pytest.mark.parametrize("change", TOKENS.values(), ids=TOKENS.keys())
def test_a_value_with_another_token_does_not_open(site: Site, change: str) -> None:
    """A token that analysts joined on must be the token of the sealed value."""
    site.sql(
        f"UPDATE user_logins SET {change} WHERE record_id = %s",  # noqa: S608
        site.records[0],
    )
    refused(site, site.records[0], IP, reveal=site.warm)


def test_a_bad_field_hides_every_field(site: Site) -> None:
    """The good one is shown when it is asked for alone."""
    site.put(site.records[0], site.ciphertext(site.records[1]))
    refused(site, site.records[0], DEVICE_ID, IP)
    assert opens(site, site.records[0], DEVICE_ID)
