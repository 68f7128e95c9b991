"""A vault in which everything is ready for a cut-over to generation 2, and what it is about."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import uuid
from typing import Any

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, PERSONAL_FIELDS
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.rows import cut_over_request
from tests.kit.scratch import Scratch, new_record_id, sealed_record
from vault_etl.platform.waiting import Blocked
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.postgres import PostgresTokenRotations
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.token_keys import CutOverDone

CUT_OVER = "SELECT seq, hash, held_ms FROM vault_etl.token_cut_over(gen_random_uuid(), 'a', 'h', 'r', 2::smallint)"
RELATIONS = (
    "(SELECT 'user_logins'::regclass::oid UNION ALL SELECT 'user_logins_masked'::regclass"
    " UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'user_logins'::regclass)"
)

_STATE = {
    "rows": "SELECT to_jsonb(r) FROM user_logins AS r ORDER BY record_id",
    "columns": (
        "SELECT attrelid::regclass::text, attnum, attname, attacl::text FROM pg_attribute"  # noqa: S608
        f" WHERE attrelid IN {RELATIONS} AND attnum > 0 ORDER BY 1, 2"
    ),
    "rights": f"SELECT oid::regclass::text, relacl::text FROM pg_class WHERE oid IN {RELATIONS} ORDER BY 1",  # noqa: S608
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'vault_etl' ORDER BY 1",
    "view": "SELECT pg_get_viewdef('user_logins_masked'::regclass)",
    "keys": "SELECT to_jsonb(k) FROM data_keys AS k ORDER BY key_id",
    "rotations": "SELECT to_jsonb(k) FROM key_rotations AS k",
    "ranges": "SELECT to_jsonb(r) FROM rotation_ranges AS r ORDER BY 1",
    "log": "SELECT to_jsonb(l) FROM audit_log AS l ORDER BY seq",
    "head": "SELECT seq, hash::text FROM audit_head",
}


def state(scratch: Scratch) -> dict[str, list[tuple[Any, ...]]]:
    """All that a cut-over could change."""
    return {name: scratch.sql(statement) for name, statement in _STATE.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The records of a vault in which the next tokens are filled in, and keys for more of them."""

    scratch: Scratch
    records: list[SealedRecord]
    keys: WriteKeys

    def cut_over(self) -> CutOverDone | Blocked:
        """Try once, through the real adapter."""
        with self.scratch.database("re-encrypt") as database:
            return PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 2)

    def swap(self) -> CutOverDone:
        """Cut over; the cut-over must succeed, as no other session holds a lock."""
        swapped = self.cut_over()
        assert isinstance(swapped, CutOverDone)
        return swapped

    @property
    def both(self) -> WriteKeys:
        """Return the keys that the fence requires while generation 2 is pending."""
        return dataclasses.replace(self.keys, generations=(1, 2))

    @property
    def after(self) -> WriteKeys:
        """Return the keys that the fence requires after the cut-over."""
        return dataclasses.replace(self.keys, generations=(2, None))


def ready(scratch: Scratch) -> Ready:
    """Two records of this month, one of the one before and one without a date share their tokens."""
    scratch.add_token_keys()
    keys = scratch.write_keys(*FIELDS)
    now = dt.datetime.now(dt.UTC)
    moments = (now, now, now - dt.timedelta(days=32), dt.datetime.fromtimestamp(0, dt.UTC))
    shared = {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    records = [
        sealed_record(keys, record_id=new_record_id(moment), tokens=shared) for moment in moments
    ]
    with scratch.loader() as loader:
        loader.load(records, [], keys)
    with scratch.database("re-encrypt") as database:
        PostgresTokenRotations(database, DEFAULT).begin(rotate_request(), token_keys(2), 2)
    fill(scratch)
    return Ready(scratch, records, keys)


def fill(scratch: Scratch, generation: int = 2) -> None:
    """Next tokens, each a function of the old one."""
    scratch.sql(
        "UPDATE user_logins SET next_masked_ip = md5(masked_ip::text)::uuid,"
        " next_masked_device_id = md5(masked_device_id::text)::uuid, next_token_generation = %s"
        " WHERE token_generation IS NOT NULL",
        generation,
    )


def cut_over_again(scratch: Scratch, generation: int) -> None:
    """Forget the old generation, as `keys destroy` does, fill in another one, and cut over to it."""
    scratch.sql(
        "UPDATE user_logins SET next_masked_ip = NULL, next_masked_device_id = NULL,"
        " next_token_generation = NULL;"
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL"
        " WHERE purpose = 'token' AND state = 'decrypt_only'"
    )
    with scratch.database("re-encrypt") as database:
        PostgresTokenRotations(database, DEFAULT).begin(rotate_request(), token_keys(generation), 1)
        fill(scratch, generation)
        swapped = PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), generation)
    assert isinstance(swapped, CutOverDone)


def filled_token(token: uuid.UUID) -> uuid.UUID:
    """Return the next token that `fill` computes for a token."""
    return uuid.UUID(hashlib.md5(str(token).encode(), usedforsecurity=False).hexdigest())
