"""The beginning of a rotation of the token keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.key_service import FakeKms
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import generations
from vault_etl.base.errors import ConfigurationError, IncompleteError, UnavailableError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation.pending_generation import BeginTokens


def begin(vault: FakeVault) -> BeginTokens:
    """Begin in a new process."""
    return BeginTokens(vault.keys, vault.token_rotations, vault.kms, vault.kms, PERSONAL_FIELDS)


def test_a_generation_is_pending_with_one_key_a_field(fake_vault: FakeVault) -> None:
    """The generation has the next number; the active generation stays active."""
    rotation = begin(fake_vault)(rotate_request(), 1)
    pending = [k for k in fake_vault.keys.token_keys() if k.state is KeyState.PENDING]
    assert {k.field for k in pending} == set(PERSONAL_FIELDS)
    assert generations(fake_vault) == {KeyState.ACTIVE: {1}, KeyState.PENDING: {2}}
    assert begin(fake_vault).pending_ids() == tuple(sorted(k.key_id for k in pending))
    assert (rotation.resumed, rotation.fields) == (False, PERSONAL_FIELDS)


def test_a_begun_rotation_is_continued(fake_vault: FakeVault) -> None:
    """The second run has the same rotation and the same keys, and asks KMS for no key."""
    first = begin(fake_vault)(rotate_request(), 1)
    before, generated = dict(fake_vault.database.keys), list(fake_vault.kms.generated)
    second = begin(fake_vault)(rotate_request(), 1)
    assert (second.rotation_id, second.resumed) == (first.rotation_id, True)
    assert (fake_vault.database.keys, fake_vault.kms.generated) == (before, generated)


def test_two_beginnings_at_once_begin_one_rotation(fake_vault: FakeVault) -> None:
    """The second process stores no key of its own."""
    began = []

    def overtaking(name: str, call: Callable[[], Any]) -> object:
        if name == "begin":
            began.append(begin(fake_vault)(rotate_request(), 1))
        return call()

    second = begin(seen_by(fake_vault, overtaking))(rotate_request(), 1)
    assert [b.rotation_id for b in began] == [second.rotation_id]
    assert len(begin(fake_vault).pending_ids()) == len(PERSONAL_FIELDS)


def test_a_generation_aborted_meanwhile_is_not_begun_without_keys(fake_vault: FakeVault) -> None:
    """A rotation without a pending generation would block every other rotation."""
    begin(fake_vault)(rotate_request(), 1)

    def aborting(name: str, call: Callable[[], Any]) -> object:
        if name == "begin":
            fake_vault.token_rotations.abort(rotate_request())
        return call()

    with pytest.raises(IncompleteError):
        begin(seen_by(fake_vault, aborting))(rotate_request(), 1)
    assert fake_vault.rotations.open(KeyPurpose.TOKEN) is None
    begin(fake_vault)(rotate_request(), 1)
    assert generations(fake_vault)[KeyState.PENDING] == {3}


def test_the_number_of_an_aborted_generation_is_not_used_again(fake_vault: FakeVault) -> None:
    """Rows may still hold tokens of the aborted generation."""
    begin(fake_vault)(rotate_request(), 1)
    fake_vault.token_rotations.abort(rotate_request())
    begin(fake_vault)(rotate_request(), 1)
    assert generations(fake_vault)[KeyState.PENDING] == {3}


def test_no_key_is_stored_if_kms_ignores_contexts(fake_vault: FakeVault) -> None:
    """A key from such a KMS would not be bound to its field."""
    fake_vault.kms = FakeKms(ignores_context=True)
    before = dict(fake_vault.database.keys)
    with pytest.raises(ConfigurationError):
        begin(fake_vault)(rotate_request(), 1)
    assert fake_vault.database.keys == before
    assert fake_vault.rotations.open(KeyPurpose.TOKEN) is None


def test_no_key_is_stored_in_an_outage_of_kms(fake_vault: FakeVault) -> None:
    """No generation is stored with only some of its keys."""
    before = dict(fake_vault.database.keys)
    for at in range(2):
        asked: list[str] = []

        def failing(
            name: str, call: Callable[[], Any], asked: list[str] = asked, at: int = at
        ) -> object:
            asked.append(name)
            if name == "generate_unseen" and asked.count(name) > at:
                raise UnavailableError("away")
            return call()

        with pytest.raises(UnavailableError):
            begin(seen_by(fake_vault, failing))(rotate_request(), 1)
        assert fake_vault.database.keys == before
