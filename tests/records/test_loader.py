"""The loader on PostgreSQL: rows come back as they were given, once, and the catalog does not grow."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace

import pytest

from tests.kit.declared import FIELDS, PERSONAL_FIELDS
from tests.kit.login_records import PLAIN, changed, column
from tests.kit.scratch import (
    Scratch,
    ciphertext,
    new_record_id,
    sealed_record,
    sealed_rejection,
)
from tests.kit.waiting import until
from vault_etl.base.errors import VaultEtlError
from vault_etl.records.fenced_writes import KeysChanged, Loaded, MonthUnattached, WriteKeys
from vault_etl.records.messages import SealedRecord

COLUMNS = (
    "record_id, user_id, device_type, masked_ip, masked_device_id, next_masked_ip,"
    " next_masked_device_id, ip_ciphertext, device_id_ciphertext, token_generation,"
    " next_token_generation, locale, app_version, create_date, event_time"
)
NOTHING = Loaded(frozenset(), frozenset())
_INSERT = "INSERT INTO vault_etl.user_logins (record_id, user_id, device_type, create_date)"
_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'test_ingest' AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
def keys(shared: Scratch) -> WriteKeys:
    """One data key a field for the whole file."""
    shared.add_token_keys()
    return shared.write_keys(*FIELDS)


@pytest.fixture(autouse=True)
def _empty_tables(shared: Scratch) -> None:
    """Each test begins with empty tables."""
    shared.sql("TRUNCATE user_logins, quarantine")


def _row_of(record: SealedRecord) -> tuple[object, ...]:
    tokens, following = record.tokens, record.next_tokens or {}
    return (
        record.record_id,
        record.subject,
        column(record, "device_type"),
        *(tokens[field] for field in PERSONAL_FIELDS),
        *(following.get(field) for field in PERSONAL_FIELDS),
        *(record.ciphertexts[field] for field in PERSONAL_FIELDS),
        *(record.token_generation, record.next_token_generation),
        *(column(record, name) for name in PLAIN[2:]),
    )


def _stored(shared: Scratch) -> dict[uuid.UUID, tuple[object, ...]]:
    return {
        row[0]: tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
        for row in shared.sql(f"SELECT {COLUMNS} FROM user_logins")  # noqa: S608
    }


EDGES: list[dict[str, object]] = [
    {},
    {"user_id": "\U0001f511" * 128, "device_type": "\u202e\u0627" * 16, "locale": "a\u0301" * 16},
    {"user_id": "\x01\t\n\\N\\.", "device_type": "'; DROP TABLE user_logins; --"},
    {"user_id": "%s %(x)s {}", "locale": "", "app_version": ""},
    {"locale": None, "app_version": None},
    {"create_date": dt.date(1, 1, 1)},
    {"create_date": dt.date(9999, 12, 31)},
    {"create_date": dt.date(2000, 2, 29)},
    {
        "create_date": dt.date(2026, 1, 31),
        "event_time": dt.datetime(2026, 1, 31, 23, 59, 59, 999999, dt.UTC),
    },
    {"tokens": dict.fromkeys(PERSONAL_FIELDS, uuid.UUID(int=0))},
    {"record_id": uuid.UUID("00000000-0000-7fff-bfff-ffffffffffff")},
]


def test_every_column_comes_back_as_it_was_sent(shared: Scratch, keys: WriteKeys) -> None:
    """Unicode, empty strings, NULLs, all dates, long ciphertexts: each column of each row is equal."""
    records = [sealed_record(keys, **edge) for edge in EDGES]
    ids = {key.field: key.key_id for key in keys.data_keys}
    for sizes in ((49, 49), (113, 1073)):
        sealed = {f: ciphertext(ids[f], n) for f, n in zip(PERSONAL_FIELDS, sizes, strict=True)}
        records.append(sealed_record(keys, ciphertexts=sealed))
    with shared.loader() as loader:
        loaded = loader.load(records, [], keys)
    assert loaded == Loaded(frozenset(r.record_id for r in records), frozenset())
    assert _stored(shared) == {record.record_id: _row_of(record) for record in records}


@pytest.mark.parametrize("how", ["environment", "url"])
def test_text_is_utf8_whatever_the_environment_says(
    shared: Scratch, keys: WriteKeys, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """PGCLIENTENCODING, or the same setting in the URL, does not corrupt the UTF-8 of COPY."""
    record = sealed_record(keys, user_id="Zoë 鍵")
    suffix = "?client_encoding=LATIN1" if how == "url" else ""
    if how == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Scratch(shared.server, shared.name + suffix).loader() as loader:
        loader.load([record], [], keys)
    monkeypatch.delenv("PGCLIENTENCODING", raising=False)
    assert _stored(shared)[record.record_id] == _row_of(record)


def test_a_record_twice_in_a_batch_is_stored_once(shared: Scratch, keys: WriteKeys) -> None:
    """Two rows of one id do not fail the batch."""
    record = sealed_record(keys)
    with shared.loader() as loader:
        loaded = loader.load([record, changed(record, locale="x"), sealed_record(keys)], [], keys)
    assert isinstance(loaded, Loaded)
    assert len(loaded.record_ids) == len(_stored(shared)) == 2


def test_a_record_that_is_stored_already_stays_as_it_is(shared: Scratch, keys: WriteKeys) -> None:
    """A redelivered message changes no row and is reported as not new; the rest of its batch is stored."""
    record, new = sealed_record(keys), sealed_record(keys)
    rejection = sealed_rejection(keys)
    with shared.loader() as loader:
        loader.load([record], [rejection], keys)
        again = loader.load([changed(record, user_id="other"), new], [rejection], keys)
    assert again == Loaded(frozenset({new.record_id}), frozenset())
    assert _stored(shared)[record.record_id] == _row_of(record)


def test_a_message_that_was_received_before_is_found_before_the_copy(
    shared: Scratch, keys: WriteKeys
) -> None:
    """No row is written and rolled back: the places of the new rows follow that of the stored one."""
    *new, stored = sorted((sealed_record(keys) for _ in range(4)), key=lambda r: r.record_id)
    with shared.loader() as loader:
        loader.load([stored], [], keys)
        loader.load([*new, stored._replace(receive_count=2)], [], keys)
    places = shared.sql("SELECT ctid::text FROM user_logins ORDER BY ctid")
    assert places == [("(0,1)",), ("(0,2)",), ("(0,3)",), ("(0,4)",)]


def test_rows_are_inserted_in_the_order_of_their_ids(shared: Scratch, keys: WriteKeys) -> None:
    """Two processes with the same messages therefore wait for each other without a deadlock."""
    low, high = sorted((sealed_record(keys) for _ in range(2)), key=lambda r: r.record_id)
    with (
        shared.loader() as loader,
        shared.connect() as other,
        other.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute(f"{_INSERT} VALUES (%s, 'u', 'd', now())", (low.record_id,))
        loading = pool.submit(loader.load, [high, low], [], keys)
        until(lambda: shared.value(_WAITING))
        cursor.execute(f"{_INSERT} VALUES (%s, 'u', 'd', now())", (high.record_id,))
        other.commit()
        assert loading.result() == NOTHING


def test_an_empty_batch_is_loaded(shared: Scratch, keys: WriteKeys) -> None:
    """An empty batch stores nothing."""
    with shared.loader() as loader:
        assert loader.load([], [], keys) == NOTHING


@pytest.mark.parametrize("bodies", [1, 16])
def test_bodies_of_a_megabyte_are_quarantined(
    shared: Scratch, keys: WriteKeys, bodies: int
) -> None:
    """The largest message of SQS, and a whole batch of them, come back byte for byte."""
    rejections = [sealed_rejection(keys, 2**20 + 49) for _ in range(bodies)]
    with shared.loader() as loader:
        loaded = loader.load([], rejections, keys)
    assert loaded == Loaded(frozenset(), frozenset(r.record_id for r in rejections))
    rows = shared.sql(
        "SELECT record_id, reason_code, path, body_ciphertext, receive_count, source_id, queue FROM quarantine"
    )
    stored = {(a, b, c, bytes(d), *rest) for a, b, c, d, *rest in rows}
    assert stored == {astuple(rejection) for rejection in rejections}


def test_records_and_rejections_are_one_transaction(shared: Scratch, keys: WriteKeys) -> None:
    """When the rejections cannot be stored, no record of the batch is stored."""
    wrong = replace(sealed_rejection(keys), path="$" * 257)
    with shared.loader() as loader:
        loader.load([sealed_record(keys)], [wrong], keys)
    assert _stored(shared) == {}


_CATALOG = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute),
    (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_depend),
    pg_relation_size('pg_class'), pg_relation_size('pg_attribute'), pg_relation_size('pg_depend')
"""


def test_two_hundred_batches_leave_the_catalog_as_it_was(shared: Scratch, keys: WriteKeys) -> None:
    """The catalog gains no row and no page."""
    with shared.loader() as loader:
        loader.load([sealed_record(keys)], [], keys)
        before = shared.sql(_CATALOG)
        for _ in range(200):
            loader.load([sealed_record(keys)], [], keys)
        assert shared.sql(_CATALOG) == before
    assert len(_stored(shared)) == 201


def test_each_row_is_new_for_one_of_four_loaders(shared: Scratch, keys: WriteKeys) -> None:
    """Four sessions get the same messages at the same time, in other orders and batches: no count is wrong."""
    records = [sealed_record(keys) for _ in range(400)]

    def load(seed: int) -> list[uuid.UUID]:
        own = random.Random(seed).sample(records, len(records))
        new = list[uuid.UUID]()
        with shared.loader() as loader:
            for at in range(0, len(own), 20):
                loaded = loader.load(own[at : at + 20], [], keys)
                assert isinstance(loaded, Loaded)
                new += loaded.record_ids
        return new

    with ThreadPoolExecutor(4) as pool:
        new = [record_id for ids in pool.map(load, range(4)) for record_id in ids]
    assert sorted(new) == sorted(record.record_id for record in records)
    assert set(new) <= set(_stored(shared))


def test_a_conflict_with_an_index_of_others_is_an_error(scratch: Scratch) -> None:
    """No stored row explains the conflict: the batch fails, and stores nothing."""
    scratch.add_token_keys()
    keys = scratch.write_keys()
    with scratch.loader() as loader:
        loader.prepare_partitions()
        for (partition,) in scratch.sql(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'user_logins'::regclass"
        ):
            scratch.sql(f"CREATE UNIQUE INDEX ON {partition} (user_id)")
        with pytest.raises(VaultEtlError, match="SQLSTATE 23505"):
            loader.load([sealed_record(keys), sealed_record(keys)], [], keys)
    assert _stored(scratch) == {}


def test_a_month_that_is_detached_while_copy_waits_is_told(scratch: Scratch) -> None:
    """COPY waits for a session with the same record. The month leaves the table, and no row explains the conflict."""
    scratch.add_token_keys()
    keys = scratch.write_keys()
    record = sealed_record(keys)
    with scratch.loader() as loader, scratch.connect() as other, other.cursor() as cursor:
        loader.load([sealed_record(keys)], [], keys)
        ((month,),) = scratch.sql("SELECT tableoid::regclass::text FROM user_logins LIMIT 1")
        cursor.execute(f"{_INSERT} VALUES (%s, 'u', 'd', now())", (record.record_id,))
        with ThreadPoolExecutor(2) as pool:
            loading = pool.submit(loader.load, [record], [], keys)
            until(lambda: scratch.value(_WAITING))
            detaching = pool.submit(
                scratch.sql, f"ALTER TABLE user_logins DETACH PARTITION {month} CONCURRENTLY"
            )
            until(lambda: scratch.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"))
            other.commit()
            assert loading.result() == MonthUnattached()
            detaching.result()


def test_a_stopped_batch_leaves_the_connection_ready(shared: Scratch, keys: WriteKeys) -> None:
    """After changed keys or a refused value the next batch uses the same connection."""
    stale = replace(keys, generations=(7, None))
    with shared.loader() as loader:
        assert loader.load([sealed_record(keys)], [], stale) == KeysChanged()
        loader.load([sealed_record(keys, user_id="a\0b")], [], keys)
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)
    assert len(_stored(shared)) == 1


def test_records_of_several_months_are_one_batch(shared: Scratch, keys: WriteKeys) -> None:
    """A batch may hold rows of every partition."""
    now = dt.datetime.now(dt.UTC)
    with shared.loader() as loader:
        firsts = [r.first for r in loader.prepare_partitions()[1:]]
        moments = [
            dt.datetime.fromtimestamp(int.from_bytes(first.bytes[:6], "big") / 1000, dt.UTC)
            for first in firsts
        ]
        records = [sealed_record(keys, record_id=new_record_id(m)) for m in (*moments, now)]
        assert isinstance(loader.load(records, [], keys), Loaded)
    used = shared.value("SELECT count(DISTINCT tableoid) FROM user_logins")
    assert used == len(firsts)
