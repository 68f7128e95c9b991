"""The plan for the retoken of a detached month, and the refusals before any row is opened."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.fakes.vault import FakeVault
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.retoken import DetachedMonth, RetokenPlan, plan_retoken

MONTH = DetachedMonth(USER_LOGINS, "user_logins_2024_03", uuid.UUID(int=0), uuid.UUID(int=1))


@dataclass(frozen=True, slots=True)
class Counted:
    """`DetachedMonths` of one month with this many rows of each generation, without a begun retoken."""

    rows: Mapping[int, int]

    def generations(self, month: DetachedMonth) -> Mapping[int, int]:
        """The given numbers of rows of each generation."""
        assert month == MONTH
        return self.rows

    def begin(
        self, request: AuditRequest, month: DetachedMonth, ranges: int, *, again: bool
    ) -> OpenRotation:
        """Fail: a plan begins no retoken."""
        raise NotImplementedError

    def end(self, rotation_id: uuid.UUID) -> None:
        """Fail: a plan ends no retoken."""
        raise NotImplementedError


def vault_with(states: Mapping[int, KeyState]) -> FakeVault:
    """Token keys of these generations, beside the first generation in the given state."""
    vault = FakeVault()
    for generation, state in states.items():
        if generation > 1:
            vault.add_token_keys(generation, KeyState.PENDING)
        for key in list(vault.database.keys.values()):
            if key.generation == generation and key.state is not state:
                vault.database.set_state(key.key_id, state)
    return vault


def test_rows_of_all_old_generations_are_counted() -> None:
    """Rows of the active generation need no new token."""
    old, active = KeyState.DECRYPT_ONLY, KeyState.ACTIVE
    vault = vault_with({1: old, 2: old, 3: active})
    plan = plan_retoken(Counted({3: 7, 2: 5, 1: 4}), vault.keys, MONTH, PERSONAL_FIELDS)
    assert plan == RetokenPlan(MONTH, 3, {1: 4, 2: 5})
    assert plan.total == 9


def test_no_row_is_opened_while_a_generation_is_pending() -> None:
    """The new tokens would be old again after the cut-over."""
    vault = vault_with({1: KeyState.ACTIVE, 2: KeyState.PENDING})
    with pytest.raises(ConfigurationError, match="under way"):
        plan_retoken(Counted({1: 1}), vault.keys, MONTH, PERSONAL_FIELDS)


def test_tokens_of_a_destroyed_generation_are_not_replaced() -> None:
    """No key can compare such tokens with their values; a month without such rows is accepted."""
    vault = vault_with({1: KeyState.DESTROYED, 2: KeyState.ACTIVE})
    with pytest.raises(ConfigurationError, match="generation 1 of the token keys was destroyed"):
        plan_retoken(Counted({1: 1, 2: 1}), vault.keys, MONTH, PERSONAL_FIELDS)
    assert plan_retoken(Counted({2: 1}), vault.keys, MONTH, PERSONAL_FIELDS).rows == {}
