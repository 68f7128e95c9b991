"""Two rotations of the data keys at once, in processes that alternate at any call, and beside writers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declarations import BOTH
from tests.kit.fakes.turns import Turns
from tests.kit.messages import numbered
from tests.rotation.rotation_world import (
    EVERY_ADDRESS,
    Versions,
    active_ids,
    addresses,
    all_values,
    filled_vault,
    key_ids,
)
from vault_etl.declaration.model import Declaration
from vault_etl.rotation.data_keys import RotationReport

ORDERS = st.lists(st.integers(0, 2), max_size=150)


@pytest.mark.parametrize("declaration", BOTH)
@settings(max_examples=60)
@given(order=st.lists(st.integers(0, 1), max_size=100))
def test_two_rotations_at_once_reencrypt_each_value_once(
    declaration: Declaration, order: list[int]
) -> None:
    """In every order of their calls both end, no value is left, and no value is re-encrypted twice."""
    with pytest.MonkeyPatch.context() as patch:
        vault = filled_vault(patch, declaration=declaration)
        versions = Versions(vault)
        turns = Turns(order, versions.look)
        reports = turns.run(vault.tapped(turns.tap(0)).rotate, vault.tapped(turns.tap(1)).rotate)
        done = [report for report in reports if isinstance(report, RotationReport)]
        assert len(done) == 2, reports
        is_one_rotation = sum(bool(report.retired) for report in done) == 1
        rotations = 1 if is_one_rotation else 2  # the second began when the first had ended
        assert sum(report.values_reencrypted for report in done) == all_values(vault) * rotations
        assert versions.times_reencrypted == {rotations}
        assert {report.values_remaining for report in done} == {0}
        assert key_ids(vault) <= active_ids(vault)
        assert addresses(vault) == EVERY_ADDRESS
        assert not vault.database.rotations
        assert not vault.database.ranges


@pytest.mark.parametrize("declaration", BOTH)
@settings(max_examples=60)
@given(order=ORDERS)
def test_a_writer_beside_two_rotations_loses_no_row(
    declaration: Declaration, order: list[int]
) -> None:
    """No row under a retired key is committed after the fence: all rows are under active keys in the end."""
    with pytest.MonkeyPatch.context() as patch:
        vault = filled_vault(patch, declaration=declaration)
        turns = Turns(order)
        writing = vault.tapped(turns.tap(2))
        writer = writing.writer()
        batches = [vault.receive(numbered(declaration, n)) for n in range(100, 104)]
        results = turns.run(
            vault.tapped(turns.tap(0)).rotate,
            vault.tapped(turns.tap(1)).rotate,
            lambda: [writer.write(batch).cause for batch in batches],
        )
        assert results[2] == [None] * 4
        assert all(isinstance(report, RotationReport) for report in results[:2]), results
        late = {f"198.51.100.{n}".encode() for n in range(100, 104)}
        assert addresses(vault) == EVERY_ADDRESS | late
        assert key_ids(vault) <= active_ids(vault)
