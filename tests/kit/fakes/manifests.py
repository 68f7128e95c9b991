"""A manifest of made-up content."""

from __future__ import annotations

import datetime as dt
import uuid

from tests.kit.declared import USER_LOGINS
from vault_etl.archives.manifest import (
    Column,
    Contents,
    GenerationCount,
    KeyCount,
    ManifestMonth,
    Part,
    SetManifest,
)

COLUMNS = (
    Column("record_id", "uuid"),
    Column("user_id", "text"),
    Column("device_type", "text"),
    Column("masked_ip", "uuid"),
    Column("masked_device_id", "uuid"),
    Column("next_masked_ip", "uuid"),
    Column("next_masked_device_id", "uuid"),
    Column("ip_ciphertext", "bytea"),
    Column("device_id_ciphertext", "bytea"),
    Column("token_generation", "smallint"),
    Column("next_token_generation", "smallint"),
    Column("locale", "text"),
    Column("app_version", "text"),
    Column("create_date", "date"),
    Column("event_time", "timestamp with time zone"),
)
"""Of `user_logins`."""

MANIFEST = SetManifest(
    vault_id=uuid.UUID("3f1c2a5e-8f0b-4f57-9a44-0d5f2c6f1b7e"),
    set_id=uuid.UUID("9b2f0c31-5d0e-4b5f-8f2f-0a4a53d3d9a1"),
    version=1,
    event=USER_LOGINS,
    declaration_sha256=bytes(range(64, 96)),
    month=ManifestMonth(
        partition="user_logins_2026_03",
        first=uuid.UUID("019ca6e3-9800-0000-0000-000000000000"),
        until=uuid.UUID("019d4688-a400-0000-0000-000000000000"),
    ),
    columns=COLUMNS,
    parts=(
        Part("part-00001.parquet", 3, 4711, bytes(range(32))),
        Part("part-00002.parquet", 1, 815, bytes(32)),
    ),
    contents=Contents(
        rows=4,
        sha256=bytes(range(32, 64)),
        keys=(KeyCount("device_id", 7, 3), KeyCount("ip", 0, 1), KeyCount("ip", 2**32 - 1, 2)),
        generations=(GenerationCount(1, 4), GenerationCount(2, 3)),
    ),
    keys_sha256=bytes(range(96, 128)),
    made_at=dt.datetime(2026, 11, 29, 20, 40, 12, tzinfo=dt.UTC),
    tool="vault-etl 0.1.0",
)
