"""Ways to put a declaration in force: a new event, large tables, a detached month, a rotation, and refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from tests.kit.applied import (
    GROWN,
    WITH_EMAIL,
    WITH_ORDERS,
    WITH_RULES,
    do_online,
    put_in_force,
)
from tests.kit.databases import clone
from tests.kit.declarations import DEFAULT
from tests.kit.fakes.vault import rotate_request
from tests.kit.months import month_start, name_of
from tests.kit.new_keys import made_up_key, token_keys
from tests.kit.requests import request
from tests.kit.schemas import FOLDER
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.audit.entries import Action
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.declaration.changes import Effect
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.declaration.sql import rendered
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.erase.erase import UserTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.keys.postgres import PostgresKeyStore, PostgresWrappedKeys, as_json
from vault_etl.keys.postgres_destroy import PostgresKeyEnder
from vault_etl.local.postgres import RunningPostgres
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.waiting import Blocked
from vault_etl.records.months import PartitionState
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.schema import postgres_migrations
from vault_etl.schema.postgres_apply import PostgresApply
from vault_etl.schema.postgres_schema import PostgresSchema
from vault_etl.schema.postgres_versions import PostgresVersions

APPLY = request(action=Action.SCHEMA_APPLY, fields=(), ticket=None)


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A vault of the default declaration with two records."""
    with clone(postgres) as database:
        database.add_token_keys()
        keys = database.write_keys()
        with database.loader() as loader:
            loader.load([sealed_record(keys), sealed_record(keys)], [], keys)
        yield database


def differences(scratch: Scratch, declaration: Declaration) -> list[str]:
    """Differences from what `migrate` would make for a declaration."""
    with scratch.database("analyst") as database:
        return list(PostgresSchema(database, FOLDER, declaration).differences())


def test_a_new_event_has_all_that_migrate_would_make(scratch: Scratch) -> None:
    """Tables, months, functions, rights and views, and nothing else changes; a worker of before is refused."""
    plan = put_in_force(scratch, WITH_ORDERS)
    assert not plan.admits_old_workers
    assert differences(scratch, WITH_ORDERS) == []
    months = "SELECT count(*) FROM vault_etl.partition_ranges() WHERE event = %s"
    assert scratch.value(months, "orders") == scratch.value(months, "user_logins") == 7


def test_a_command_that_was_begun_before_ends(scratch: Scratch) -> None:
    """An erasure, a rewrap and the end of keys compare the declaration in their transactions, and change nothing."""
    data_key = scratch.sql("SELECT * FROM vault_etl.data_keys WHERE purpose = 'data' LIMIT 1")
    put_in_force(scratch, WITH_EMAIL)
    asked = request(action=Action.ERASE, fields=(), ticket=None)
    with scratch.database("erase") as erase, scratch.database("rotate") as rotate:
        ender, wrapped = PostgresKeyEnder(rotate, DEFAULT), PostgresWrappedKeys(rotate, DEFAULT)
        (key, *_) = wrapped.live()
        acts: tuple[Callable[[], object], ...] = (
            lambda: PostgresEraser(erase, DEFAULT).erase(asked, UserTarget("user-1")),
            lambda: ender.retire_expired(rotate_request(), [key.key_id]),
            lambda: ender.destroy(rotate_request(), [key.key_id]),
            lambda: wrapped.swap(rotate_request(), key, b"new", key.kms_key_arn),
        )
        for act in acts:
            with pytest.raises(ConfigurationError, match="not the one in force any more"):
                act()
        erased = PostgresEraser(erase, WITH_EMAIL).erase(asked, UserTarget("user-1"))
        assert erased is not None
        assert erased.records == 2
    assert data_key == scratch.sql(
        "SELECT * FROM vault_etl.data_keys WHERE purpose = 'data' LIMIT 1"
    )


def test_a_retired_event_gets_no_more_months(scratch: Scratch) -> None:
    """A loader makes none, a new vault has none, and `doctor` misses none."""
    retired = dataclasses.replace(
        WITH_ORDERS, events=tuple(_retired(event) for event in WITH_ORDERS.events)
    )
    put_in_force(scratch, WITH_ORDERS)
    put_in_force(scratch, retired)
    months = "SELECT count(*) FROM vault_etl.partition_ranges() WHERE event = %s"
    for event in retired.events:
        scratch.sql(f"DROP TABLE vault_etl.{name_of(3).replace('user_logins', event.name)}")
    with scratch.database("ingest") as database:
        PostgresRecordLoader(database, retired).prepare_partitions()
        facts = PostgresFacts(database)
        assert facts.missing_months(retired.active_events, 3) == []
        assert facts.missing_months(retired.events, 3) == [f"{month_start(3):%Y-%m}"]
    assert (scratch.value(months, "orders"), scratch.value(months, "user_logins")) == (6, 7)
    made = rendered((FOLDER / "0004_partitions.sql").read_text(encoding="utf-8"), retired)
    assert ("ensure_partition('user_logins'" in made, "ensure_partition('orders'" in made) == (
        True,
        False,
    )


def _retired(event: DeclaredEvent) -> DeclaredEvent:
    return dataclasses.replace(event, retired=True) if event.name == "orders" else event


def test_rules_for_new_records_change_with_rows_there(scratch: Scratch) -> None:
    """Limits are longer, and what is required later is nullable. Loaders of both versions before are refused."""
    put_in_force(scratch, WITH_EMAIL)
    plan = put_in_force(scratch, WITH_RULES)
    assert (plan.version, plan.admits_old_workers) == (3, False)
    assert {change.effect for change in plan.changes} == {
        Effect.ADDS_REQUIRED,
        Effect.CHANGES_RULE,
    }
    assert differences(scratch, WITH_RULES) == []
    nullable = scratch.sql(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'vault_etl.user_logins'::regclass"
        " AND attname IN ('device_type', 'channel', 'user_id') AND NOT attnotnull ORDER BY 1"
    )
    assert nullable == [("channel",), ("device_type",)]
    with scratch.database("ingest") as database:
        for declaration in (DEFAULT, WITH_EMAIL):
            writer = WriterDeclaration.of(declaration, may_be_before=True)
            with pytest.raises(ConfigurationError, match="not the one in force"):
                PostgresVersions(database).check(writer)


@pytest.mark.parametrize("declaration", [GROWN, WITH_ORDERS])
def test_a_cut_over_before_leaves_columns_where_their_names_say(
    declaration: Declaration, postgres: RunningPostgres
) -> None:
    """After a cut-over, columns have other places and the constraint another generation: both stay.

    The table of a new event takes tokens of the generation in use, and no others.
    """
    with clone(postgres) as scratch:
        with scratch.database("re-encrypt") as database:
            assert PostgresKeyStore(database).add_first_keys(request(), token_keys(1))
            keys = as_json(token_keys(2))
        scratch.sql(
            "CALL vault_etl.commit_token_keys_begin(gen_random_uuid(), 'a', 'h', %s, NULL)", keys
        )
        scratch.sql(
            "SELECT vault_etl.token_cut_over(gen_random_uuid(), 'a', 'h', 'r', 2::smallint)"
        )
        before = differences(scratch, DEFAULT)
        put_in_force(scratch, declaration)
        assert differences(scratch, declaration) == before
        checks = scratch.sql(
            "SELECT conrelid::regclass::text, substring(pg_get_constraintdef(oid) FROM '= [0-9]+') FROM pg_constraint"
            " WHERE conname = 'tokens_of_one_generation' AND coninhcount = 0 ORDER BY 1"
        )
        assert checks == [(name, "= 2") for name in sorted(e.name for e in declaration.events)]


def test_large_tables_are_done_online(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes and proofs are left, and named; each run continues, and the end is as if the tables were small."""
    monkeypatch.setattr(postgres_migrations, "SMALL_BYTES", -1)
    put_in_force(scratch, WITH_EMAIL, online=False)
    left = differences(scratch, WITH_EMAIL)
    assert "table user_logins: index user_logins_masked_email is missing" in left
    assert "table user_logins: constraint email_is_sealed was changed" in left
    with scratch.database("admin") as database, scratch.database("admin") as other:
        apply = PostgresApply(database, FOLDER, LockWatch(other))
        work = apply.online_work(WITH_EMAIL)
        with scratch.database("analyst") as reader:
            assert PostgresSchema(reader, FOLDER, WITH_EMAIL).differences(work.statements()) == []
        do_online(scratch, apply, WITH_EMAIL)
        do_online(scratch, apply, WITH_EMAIL)
    assert differences(scratch, WITH_EMAIL) == []


def test_a_detached_month_comes_back(scratch: Scratch) -> None:
    """The month gets the columns at once, since functions read them, and the rest when it is attached."""
    with scratch.database("admin") as database:
        months = PostgresPartitions(database, 10)
        name = scratch.value("SELECT tableoid::regclass::text FROM vault_etl.user_logins LIMIT 1")
        (month,) = (
            m for m in months.partitions() if m.name == name.partition(".")[2] or m.name == name
        )
        months.detach(request(action=Action.PARTITIONS_DETACH, fields=(), ticket=None), month)
        put_in_force(scratch, GROWN)
        recount = "SELECT vault_etl.partition_recount(m) FROM vault_etl.closed_months AS m"
        assert len(scratch.sql(recount)) == 1
        (month,) = (m for m in months.partitions() if m.name == month.name)
        assert (month.state, months.misfits(month)) == (PartitionState.DETACHED, [])
        months.attach(request(action=Action.PARTITIONS_ATTACH, fields=(), ticket=None), month)
    assert scratch.value("SELECT count(*) FROM vault_etl.user_logins") == 2
    assert differences(scratch, GROWN) == []


def test_a_pending_generation_gets_the_keys_of_a_new_field(scratch: Scratch) -> None:
    """Each key has the state of its generation; a second run, and a generation that is neither, add none."""
    email = FieldName("email")
    scratch.add_token_keys(2, "pending")
    scratch.sql(
        "INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys)"
        " VALUES ('token', gen_random_uuid(), '{device_id,ip}', '{1}')"
    )
    put_in_force(scratch, WITH_EMAIL)
    keys = [made_up_key(KeyPurpose.TOKEN, email, generation=n)[0] for n in (1, 2)]
    other, _ = made_up_key(KeyPurpose.TOKEN, email, generation=3)
    with scratch.database("re-encrypt") as database:
        store = PostgresKeyStore(database)
        assert not store.add_first_keys(request(), [other])
        assert store.add_first_keys(request(), keys)
        assert not store.add_first_keys(request(), keys)
        states = {(key.field, key.generation): key.state for key in store.token_keys()}
        assert scratch.value("SELECT fields FROM vault_etl.key_rotations") == [
            "device_id",
            "email",
            "ip",
        ]
        assert (states[email, 1], states[email, 2]) == ("active", "pending")
        assert len(states) == 6
        assert store.unexplained([key.key_id for key in keys]) == []


def test_a_view_that_an_owner_narrowed_is_not_widened(scratch: Scratch) -> None:
    """Analysts would see more without a word: the command names the view, and changes nothing."""
    scratch.sql("""DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW vault_etl.user_logins_masked AS '
        || rtrim(pg_get_viewdef('vault_etl.user_logins_masked'::regclass), ';') || ' LIMIT 0'; END $$""")
    with pytest.raises(ConfigurationError, match="user_logins_masked has another definition"):
        put_in_force(scratch, GROWN)
    assert scratch.value("SELECT max(version) FROM vault_etl.schema_versions") == 1
    assert len(differences(scratch, DEFAULT)) == 1


def test_pending_migrations_come_first(scratch: Scratch) -> None:
    """Functions would be made as a version has them whose tables are not there: the command names the file."""
    scratch.sql("DELETE FROM vault_etl.migrations WHERE name = '0025_ingest'")
    with pytest.raises(ConfigurationError, match="0025_ingest") as refused:
        put_in_force(scratch, WITH_EMAIL)
    assert "migrate" in str(refused.value.hint)


def test_a_batch_under_way_is_waited_for(scratch: Scratch) -> None:
    """While a writer holds the fence, nothing is changed; of two plans, the second is refused."""
    with scratch.database("admin") as database, scratch.database("admin") as other:
        apply = PostgresApply(database, FOLDER, LockWatch(other))
        plan, late = apply.plan(WITH_EMAIL), apply.plan(WITH_ORDERS)
        with scratch.connect("ingest") as writer, writer.cursor() as cursor:
            cursor.execute("LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")
            assert isinstance(apply.try_apply(APPLY, plan), Blocked)
            assert differences(scratch, DEFAULT) == []
            writer.rollback()
        assert apply.try_apply(APPLY, plan) == 2
        with pytest.raises(IncompleteError, match="meanwhile"):
            apply.try_apply(APPLY, late)
