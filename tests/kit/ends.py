"""Services that end keys and wrap them again, over the vault of a bench."""

from __future__ import annotations

import dataclasses
import uuid

from tests.kit.bench import Bench, FakeBench
from tests.kit.bench_postgres import PostgresBench
from tests.kit.fakes.key_end import FakeKeyEnd
from tests.kit.fakes.wrapped_keys import FakeWrappedKeys
from tests.kit.rows import Writer
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import KeyEnder, OldTokens
from vault_etl.keys.needed import KeyNeedsCounter
from vault_etl.keys.postgres import PostgresWrappedKeys
from vault_etl.keys.postgres_destroy import PostgresKeyEnder, PostgresKeyNeeds, PostgresOldTokens
from vault_etl.keys.rewrap import WrappedKeys
from vault_etl.records.messages import SealedRecord


@dataclasses.dataclass(frozen=True, slots=True)
class Ends:
    """The adapters under test, as the role rotate uses them."""

    needs: KeyNeedsCounter
    ender: KeyEnder
    old_tokens: OldTokens
    wrapped: WrappedKeys


def ends(bench: Bench) -> Ends:
    """Over the bench's own tables."""
    if isinstance(bench, FakeBench):
        fake = FakeKeyEnd(bench._database)
        return Ends(fake, fake, fake, FakeWrappedKeys(bench._database))
    assert isinstance(bench, PostgresBench)
    database = bench._database("rotate")
    return Ends(
        PostgresKeyNeeds(database),
        PostgresKeyEnder(database, bench.declaration),
        PostgresOldTokens(database),
        PostgresWrappedKeys(database, bench.declaration),
    )


def set_state(bench: Bench, state: KeyState, *key_ids: int) -> None:
    """Move keys to a state, by hand."""
    if isinstance(bench, FakeBench):
        for key_id in key_ids:
            bench._database.set_state(key_id, state)
        return
    assert isinstance(bench, PostgresBench)
    bench._vault.sql(
        "UPDATE data_keys SET state = %s, wrapped_key = CASE WHEN %s = 'destroyed' THEN NULL"
        " ELSE wrapped_key END WHERE key_id = ANY (%s)",
        state.value,
        state.value,
        list(key_ids),
    )


def pending_generation(bench: Bench) -> list[int]:
    """Store generation 2 as pending; the ids of its keys."""
    made = bench.token_keys(2)
    bench.pending(made)
    return [key.key_id for key in made]


def load_with_next(process: Writer, count: int) -> list[uuid.UUID]:
    """Load rows with next tokens, while generation 2 is pending; their ids, in order."""
    rows: list[SealedRecord] = [
        process.record(
            next_tokens=process.tokens(),
            next_token_generation=2,
        )
        for _ in range(count)
    ]
    process.load(*rows)
    return sorted(row.record_id for row in rows)
