"""A month that was detached for a while comes back in the shape that the table has by then."""

from __future__ import annotations

import pytest

from tests.kit.months import name_of, request
from tests.kit.schemas import differences
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.months import choose

CHANGES = """
    SET ROLE vault_etl_owner;
    ALTER TABLE vault_etl.user_logins
        ADD COLUMN region text DEFAULT 'none' NOT NULL, ALTER COLUMN device_type DROP NOT NULL,
        DROP CONSTRAINT user_logins_locale_check,
        ADD CONSTRAINT user_logins_locale_check CHECK (char_length(locale) < 64),
        ADD CONSTRAINT later CHECK (region <> '') NOT VALID;
    CREATE INDEX user_logins_region ON vault_etl.user_logins (region) WHERE region <> 'none';
    DROP INDEX vault_etl.user_logins_create_date;
"""
INDEXES = (
    "SELECT indexrelid::int FROM pg_index WHERE indrelid = vault_etl.partition_table(%s) ORDER BY 1"
)


@pytest.mark.parametrize("by_hand", [False, True], ids=["by the command", "by hand"])
def test_it_gets_what_the_table_got_and_loses_what_that_lost(
    scratch: Scratch, *, by_hand: bool
) -> None:
    """Columns, NOT NULL, constraints and indexes: all before ATTACH takes its locks, which then builds nothing."""
    scratch.add_token_keys()
    keys = scratch.write_keys()
    with scratch.loader() as loader:
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)
    name, other = name_of(0), name_of(1)
    with scratch.database("admin") as database:
        partitions = PostgresPartitions(database, 1.0)
        if by_hand:
            scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
        else:
            partitions.detach(request(), choose(partitions.partitions(), name))
        scratch.sql(CHANGES)
        month = choose(partitions.partitions(), name)
        scratch.sql("SELECT vault_etl.partition_prepare(%s)", name)
        before = scratch.sql(INDEXES, name)
        partitions.attach(request(), month)
    assert scratch.sql(INDEXES, name) == before
    assert scratch.sql("SELECT user_id, region FROM user_logins") == [("user-1", "none")]
    found = [line.removeprefix("table ") for line in differences(scratch, "audit")]
    months = {
        month: [line.removeprefix(month) for line in found if line.startswith(month)]
        for month in (name, other)
    }
    assert months[name] == months[other] != []
