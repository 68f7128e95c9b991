"""Records of a declaration with more fields: rendered tables, their guard and counts, and the real loader."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.kit.databases import admin, empty
from tests.kit.declarations import WIDER
from tests.kit.declared import DEVICE_ID, IP, USER_LOGINS
from tests.kit.fakes.login_events import DEFAULTS
from tests.kit.scratch import ARN, Scratch, ciphertext
from vault_etl.base.errors import DeniedError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.keys.make import draw_key_id
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import (
    Message,
    RecordRange,
    RecordRanges,
    SealedRecord,
    parse_message,
)
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.records.sealing import RecordSealer, seals_of
from vault_etl.schema.postgres_migrations import PostgresMigrations

EMAIL: Final = FieldName("email")
HOME: Final = FieldName("home_ip")
IP_NETWORK: Final = FieldName("ip/network")
HOME_NETWORK: Final = FieldName("home_ip/network")
EMAIL_DOMAIN: Final = FieldName("email/domain")
KINDS: Final = {field.name: field.kind for field in WIDER.fields}
EVERYTHING: Final = (RecordRange(USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)),)
FULL: Final[dict[str, Any]] = {
    **DEFAULTS,
    "home": {"ip": DEFAULTS["ip"], "user": "4.0"},
    "email": "Jo@BÜCHER.example",
    "age": -41,
    "price": 19.90,
    "is_new": True,
    "since": "2020-01-01T00:00:00Z",
}
TOKENIZER: Final = Tokenizer(
    [TokenKey(at, field, 1, KeyMaterial(bytes(32))) for at, field in enumerate(KINDS, 1)], KINDS
)


@pytest.fixture(scope="module")
def wide(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A database that the migrations made for the wider declaration, with token keys."""
    with empty(postgres) as scratch:
        database = Database(scratch.url("admin"))
        PostgresMigrations(database, resource_dir("migrations"), declaration=WIDER).apply()
        database.close()
        for field in KINDS:
            scratch.sql(
                "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state, kms_key_arn,"
                " wrapped_key, fingerprint) VALUES (%s, 'token', %s, 1, 'active', %s, 'wrapped', '8 bytes!')",
                draw_key_id(),
                field,
                ARN,
            )
        yield scratch


@pytest.fixture(scope="module")
def keys(wide: Scratch) -> WriteKeys:
    """A data key of ingest for each field."""
    return WriteKeys((1, None), tuple(wide.add_data_key(field) for field in KINDS))


def sealed(keys: WriteKeys, **changes: object) -> SealedRecord:
    """The row of a message that was sent now; None takes a value away."""
    given = {name: value for name, value in (FULL | changes).items() if value is not None}
    now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    message = Message(uuid.uuid4().hex, "r", Pii(json.dumps(given).encode()), now)
    parsed = parse_message(EventParser(WIDER), message, RecordRanges(EVERYTHING))
    assert isinstance(parsed.content, ParsedEvent), parsed.content
    return RecordSealer(Sealer(keys.data_keys), TOKENIZER, None).seal(
        parsed.record_id, parsed.content
    )


def load(wide: Scratch, keys: WriteKeys, *records: SealedRecord) -> None:
    """Store these by the loader of the role ingest."""
    with wide.database("ingest") as database:
        loaded = PostgresRecordLoader(database, WIDER).load(records, [], keys)
    assert loaded == Loaded(frozenset(record.record_id for record in records), frozenset())


def test_a_record_has_every_value(wide: Scratch, keys: WriteKeys) -> None:
    """Two values of one field have equal tokens, and other ciphertexts; numbers keep their digits.

    So have the derived forms of both.
    """
    record = sealed(keys)
    load(wide, keys, record)
    ((masked_ip, masked_home_ip, order, *plain),) = wide.sql(
        'SELECT masked_ip, masked_home_ip, "order", "user", age, price, is_new, since'
        " FROM vault_etl.user_logins WHERE record_id = %s",
        record.record_id,
    )
    assert masked_ip == masked_home_ip == record.tokens[IP] != order
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert plain == ["4.0", -41, decimal.Decimal("19.9"), True, since]
    assert set(record.ciphertexts) == {IP, DEVICE_ID, HOME, EMAIL}
    assert record.ciphertexts[IP] != record.ciphertexts[HOME]
    ((network, home, domain),) = wide.sql(
        "SELECT masked_ip_network, masked_home_ip_network, order_domain FROM vault_etl.user_logins"
        " WHERE record_id = %s",
        record.record_id,
    )
    assert network == home == record.tokens[IP_NETWORK]
    assert domain == record.tokens[EMAIL_DOMAIN]
    assert len({masked_ip, order, network, domain}) == 4


def test_a_record_without_optional_values_has_none_of_their_columns(
    wide: Scratch, keys: WriteKeys
) -> None:
    """No token, no ciphertext, and no key is asked for them."""
    record = sealed(keys, email="", home=None, age=None, price=None, is_new=None, since=None)
    load(wide, keys, record)
    empty_columns = wide.sql(
        'SELECT num_nonnulls("order", order_domain, email_ciphertext, masked_home_ip, masked_home_ip_network,'
        ' home_ip_ciphertext, "user", age, price,'
        " is_new, since) FROM vault_etl.user_logins WHERE record_id = %s",
        record.record_id,
    )
    assert empty_columns == [(0,)]


def test_keys_are_needed_for_the_values_that_are_there() -> None:
    """Each field counts all of its values."""
    parser = EventParser(WIDER)
    events = [parser.parse(json.dumps(FULL | {"email": mail}).encode()) for mail in ("a@b.c", None)]
    assert seals_of(e for e in events if isinstance(e, ParsedEvent)) == {
        IP: 4,
        DEVICE_ID: 2,
        EMAIL: 1,
    }


FORGED: Final = [
    ("no ciphertext of an optional token", {"ciphertexts": EMAIL}),
    ("no token of an optional ciphertext", {"tokens": EMAIL}),
    ("no token of the second value of a field", {"tokens": HOME}),
    ("no token of a derived form of it", {"tokens": HOME_NETWORK}),
    ("no token of a derived form of a required value", {"tokens": IP_NETWORK}),
    ("no ciphertext of a required value", {"ciphertexts": IP}),
    ("no token of a required value", {"tokens": DEVICE_ID}),
]


@pytest.mark.parametrize(("what", "lacks"), FORGED)
def test_a_value_has_both_parts_or_neither(
    wide: Scratch, keys: WriteKeys, what: str, lacks: dict[str, FieldName]
) -> None:
    """The guard refuses every row that has one part of a value."""
    record = sealed(keys)
    ((part, name),) = lacks.items()
    left = {k: v for k, v in getattr(record, part).items() if k != name}
    with pytest.raises(DeniedError):
        load(wide, keys, record._replace(**{part: left}))  # type: ignore[arg-type]
    assert what


def test_no_value_is_under_the_key_of_another_field(wide: Scratch, keys: WriteKeys) -> None:
    """The second value of a field is held to the keys of its field."""
    of = {key.field: key for key in keys.data_keys}
    load(wide, keys, replace_ciphertext(sealed(keys), HOME, of[IP]))
    for name, field in ((HOME, EMAIL), (EMAIL, IP)):
        with pytest.raises(DeniedError):
            load(wide, keys, replace_ciphertext(sealed(keys), name, of[field]))


def replace_ciphertext(record: SealedRecord, name: FieldName, key: DataKey) -> SealedRecord:
    """The row with noise under this key in the place of a value."""
    return record._replace(ciphertexts={**record.ciphertexts, name: ciphertext(key.key_id)})


def test_a_pending_generation_has_tokens_for_the_values_that_are_there(
    wide: Scratch, keys: WriteKeys
) -> None:
    """Each value has its next token then, and no value that is missing has one."""
    wide.sql(
        "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state, kms_key_arn, wrapped_key,"
        " fingerprint) SELECT 7, purpose, field, 2, 'pending', kms_key_arn, wrapped_key, fingerprint"
        " FROM vault_etl.data_keys WHERE purpose = 'token' AND field = 'ip'"
    )
    try:
        both = replace(keys, generations=(1, 2))
        record = sealed(keys, email=None)
        good = record._replace(next_tokens=dict(record.tokens), next_token_generation=2)
        load(wide, both, good)
        for tokens in ({**good.tokens, EMAIL: uuid.uuid4()}, {IP: good.tokens[IP]}):
            forged = sealed(keys, email=None)._replace(next_tokens=tokens, next_token_generation=2)
            with pytest.raises(DeniedError):
                load(wide, both, forged)
    finally:
        with admin(wide.server, wide.name) as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("DELETE FROM vault_etl.data_keys WHERE key_id = 7")


def test_values_are_counted_by_their_fields(wide: Scratch, keys: WriteKeys) -> None:
    """Two values of one field count under the keys of that field, and the counts agree with the rows."""
    before = dict(wide.sql(COUNTS))
    load(wide, keys, sealed(keys), sealed(keys, email=None))
    after = dict(wide.sql(COUNTS))
    grown = {field: after[field] - before.get(field, 0) for field in after}
    assert grown == {"ip": 4, "device_id": 2, "email": 1, "token": 2}
    assert wide.sql("SELECT * FROM vault_etl.values_miscounted()") == []


COUNTS: Final = "SELECT field, sum(held)::int FROM vault_etl.value_counts GROUP BY field"
