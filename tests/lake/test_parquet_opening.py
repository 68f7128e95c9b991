"""Batches of Arrow are opened, rotated and erased, row by row as the table is."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tests.kit.declarations import WIDER
from tests.kit.fakes.receipts import any_receipt
from tests.kit.fakes.vault import FakeVault
from tests.lake.sealed_rows import BODIES, EVENT, parsed
from vault_etl.archives.parquet_layout import columns_of_set
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.sealing import Sealer
from vault_etl.lake.parquet_batches import (
    BatchSealer,
    column_of,
    erased,
    seals_in,
    with_column,
)
from vault_etl.lake.parquet_opening import BatchOpener, BatchRotator


class Sealed:
    """A vault in memory with the keys of a batch."""

    def __init__(self) -> None:
        self.vault = FakeVault(declaration=WIDER)
        self.batch = self.new_sealer().seal(parsed(WIDER, list(BODIES)))
        self.fields = list(WIDER.field_names)

    def new_keys(self) -> Sealer:
        """New data keys of all fields."""
        leases = self.vault.leases()
        return Sealer([leases.data_key(field, 100) for field in WIDER.field_names])

    def new_sealer(self) -> BatchSealer:
        """Seals under new data keys."""
        return BatchSealer(EVENT, self.new_keys(), self.vault.ring().tokenizers()[0])

    def open(self, batch: Any, *fields: str) -> Any:  # noqa: ANN401 - of pyarrow
        """Open these fields, or all."""
        wanted = [FieldName(field) for field in fields] or self.fields
        opener = BatchOpener(EVENT, wanted, Opener(any_receipt()), self.vault.ring())
        return opener.open(batch)

    def rotate(self, batch: Any) -> Any:  # noqa: ANN401 - of pyarrow
        """Rotate to new data keys, and to the active generation."""
        ring = self.vault.ring()
        rotator = BatchRotator(
            EVENT, Opener(any_receipt()), ring, self.new_keys(), ring.tokenizers()[0]
        )
        return rotator.rotate(batch)


@pytest.fixture(scope="module")
def sealed() -> Sealed:
    """A batch, and its vault, which no test changes."""
    return Sealed()


def test_opened_rows_are_what_was_sealed_and_do_not_show_themselves(sealed: Sealed) -> None:
    """Record, subject, day, and the values of the wanted fields."""
    opened = sealed.open(sealed.batch, "ip", "email")
    assert (repr(opened), str(opened), len(opened)) == (("OpenedBatch(redacted)",) * 2 + (3,))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(opened)
    rows = opened.expose()
    assert rows.schema.names == ["record_id", "user_id", "create_date", "ip", "email", "home_ip"]
    assert rows["record_id"].to_pylist() == sealed.batch["record_id"].to_pylist()
    assert rows["ip"].to_pylist() == ["198.51.100.7", "198.51.100.7", "2001:db8::1"]
    assert rows["home_ip"].to_pylist() == ["203.0.113.9", None, None]
    assert rows["email"].to_pylist() == ["ann@example.com", None, None]


def swapped(batch: Any, name: str) -> Any:  # noqa: ANN401 - of pyarrow
    """The batch with the first and the last value of a column in each other's place."""
    return with_column(batch, name, batch[name].take(pa.array([2, 1, 0])))


@pytest.mark.parametrize(
    "column",
    [
        "record_id",
        "ip_ciphertext",
        "masked_ip",
        "masked_ip_network",
        "user_id",
        "no id",
        "token_generation",
    ],
)
def test_rows_that_were_changed_do_not_open(sealed: Sealed, column: str) -> None:
    """A value that was moved, or has the token of another one, opens nowhere; nothing is returned."""
    batch = sealed.batch
    if column == "user_id":
        changed = with_column(batch, column, pa.array(["u-2", "u-2", "u-1"]))
    elif column == "no id":
        changed = with_column(batch, "record_id", pa.nulls(3, pa.uuid()))
    elif column == "token_generation":
        changed = with_column(batch, column, pa.array([1, None, 1], pa.int16()))
    else:
        changed = swapped(batch, column)
    for act in (sealed.open, sealed.rotate):
        with pytest.raises(IntegrityError):
            act(changed)


def test_a_rotation_seals_again_and_keeps_the_tokens_of_their_generation(sealed: Sealed) -> None:
    """Each value has another key and opens to the same; plain columns stay."""
    rotated = sealed.rotate(sealed.batch)
    for value in EVENT.personal:
        pairs = zip(
            sealed.batch[value.ciphertext].to_pylist(),
            rotated[value.ciphertext].to_pylist(),
            strict=True,
        )
        assert all(
            (old is None and new is None) or (old and new and old[:5] != new[:5])
            for old, new in pairs
        )
    same = [n for n in rotated.schema.names if not n.endswith("_ciphertext")]
    assert rotated.select(same) == sealed.batch.select(same)
    assert sealed.open(rotated).expose() == sealed.open(sealed.batch).expose()
    assert seals_in(EVENT, rotated) == {"ip": 4, "device_id": 3, "email": 1}


def test_a_rotation_makes_the_tokens_of_the_active_generation() -> None:
    """Those of a second generation, which a month of the table can have, become null."""
    sealed = Sealed()
    old = sealed.batch.append_column("next_masked_ip", sealed.batch["masked_ip"])
    old = old.append_column("next_token_generation", pa.array([2, 2, None], pa.int16()))
    for key in list(sealed.vault.database.keys.values()):
        if key.state is KeyState.ACTIVE and key.generation == 1:
            sealed.vault.database.keys[key.key_id] = replace(key, state=KeyState.DECRYPT_ONLY)
    sealed.vault.add_token_keys(2, KeyState.ACTIVE)
    rotated = sealed.rotate(old)
    assert rotated["token_generation"].to_pylist() == [2, 2, 2]
    assert rotated["next_token_generation"].null_count == rotated["next_masked_ip"].null_count == 3
    ring = sealed.vault.ring()
    wanted = sealed.new_sealer().seal(parsed(WIDER, list(BODIES)))
    for value in EVENT.personal:
        for name in value.tokens:
            assert rotated[name].to_pylist() == wanted[name].to_pylist()
            assert rotated[name].to_pylist() != old[name].to_pylist() or "device" in name
    assert sealed.open(rotated).expose() == sealed.open(old).expose()
    assert ring.tokenizers()[0].generation == 2


def test_erased_rows_lose_what_an_erasure_of_the_table_takes(sealed: Sealed) -> None:
    """By subject or by record. The rest opens and rotates as before."""
    batch, ids = sealed.batch, sealed.batch["record_id"].to_pylist()
    for changed, count in (
        erased(EVENT, batch, ["u-1"]),
        erased(EVENT, batch, record_ids=[ids[0], ids[2]]),
    ):
        assert count == 2
        for column in columns_of_set(EVENT):
            stays = column.name == "record_id" or column.name in {
                name for plain in EVENT.plain for name in plain.columns
            }
            before, after = batch[column.name].to_pylist(), changed[column.name].to_pylist()
            assert after == (before if stays else [None, before[1], None])
        assert erased(EVENT, changed, ["u-1"]) == (changed, 0)
        assert sealed.open(changed, "ip").expose()["ip"].to_pylist() == [None, "198.51.100.7", None]
        rotated = sealed.rotate(changed)
        assert rotated["token_generation"].to_pylist() == [None, 1, None]
        assert sealed.open(rotated).expose() == sealed.open(changed).expose()
    assert erased(EVENT, batch, ["nobody"]) == (batch, 0)
    assert column_of(batch, "next_masked_ip") is None
