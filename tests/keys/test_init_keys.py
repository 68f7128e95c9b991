"""The first token keys: made once, proved first, on the record."""

from __future__ import annotations

import pytest

from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.fakes.identity import ACTOR, FakeIdentity
from tests.kit.fakes.key_service import FakeKms
from tests.kit.fakes.vault import FakeVault
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import AuditError, ConfigurationError, UnavailableError
from vault_etl.crypto.fields import SOURCE
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.init import InitReport, init_keys
from vault_etl.keys.make import make_data_key


@pytest.fixture
def vault() -> FakeVault:
    """A vault without any key."""
    empty = FakeVault()
    empty.database.keys.clear()
    return empty


def init(vault: FakeVault) -> InitReport:
    """Run the service."""
    return init_keys(
        reader=vault.keys,
        writer=vault.keys,
        generator=vault.kms,
        unwrapper=vault.kms,
        audit=vault.audit,
        identity=FakeIdentity(),
        fields=PERSONAL_FIELDS,
    )


def decisions(vault: FakeVault) -> list[str]:
    """The decision of every entry."""
    return [entry.decision for entry in vault.database.audit]


def test_init_makes_one_key_a_personal_field_and_the_source_key(vault: FakeVault) -> None:
    """Token keys are of generation 1, active, without an end; the source key is for the digests of files."""
    report = init(vault)
    keys = vault.keys.token_keys()
    source = vault.keys.source_key()
    assert source is not None
    assert (source.field, source.generation, source.expires_at) == (SOURCE, None, None)
    assert list(report.created) == [*(key.key_id for key in keys), source.key_id]
    assert {key.field for key in keys} == {IP, DEVICE_ID}
    assert {(key.generation, key.state, key.expires_at) for key in keys} == {
        (1, KeyState.ACTIVE, None)
    }
    active, pending = vault.ring().tokenizers()
    assert (active.generation, pending) == (1, None)


def test_init_is_on_the_record(vault: FakeVault) -> None:
    """The entry names the actor and the fields."""
    init(vault)
    intent, outcome = vault.database.audit
    assert (intent.action, intent.actor) == ("keys init", ACTOR)
    assert intent.fields == ("device_id", "ip")
    assert outcome.decision == "done"


def test_init_is_safe_to_repeat(vault: FakeVault) -> None:
    """The second time it makes nothing, asks KMS nothing, and writes no entry."""
    init(vault)
    before = dict(vault.database.keys), len(vault.kms.generated), len(vault.database.audit)
    assert init(vault) == InitReport(())
    assert before == (dict(vault.database.keys), len(vault.kms.generated), len(decisions(vault)))


def test_a_pending_generation_counts_as_there(vault: FakeVault) -> None:
    """A pending generation belongs to a rotation, so init makes no key."""
    vault.add_token_keys(2, KeyState.PENDING)
    assert init(vault) == InitReport(())


def test_the_second_process_of_a_race_makes_no_key(vault: FakeVault) -> None:
    """The keys of the first process stay; ours are dropped, and never named."""

    class Slow(type(vault.keys)):  # type: ignore[misc]
        """A store that another process fills between our read and our write."""

        def token_keys(self) -> list[object]:
            """No token keys, as before the other process stored its own."""
            return []

    vault.add_token_keys(1, KeyState.ACTIVE)
    winners = set(vault.database.keys)
    vault.keys = Slow(vault.database)
    assert init(vault) == InitReport(())
    assert set(vault.database.keys) == winners
    assert decisions(vault) == ["allowed", "done"]


def test_a_kms_that_ignores_the_context_gets_no_key_stored(vault: FakeVault) -> None:
    """The KMS is proven before any key is written, and the failure is on the record."""
    vault.kms = FakeKms(ignores_context=True)
    with pytest.raises(ConfigurationError, match="ignores the encryption context"):
        init(vault)
    assert vault.database.keys == {}
    assert decisions(vault) == ["allowed", "failed"]


def test_a_kms_that_does_not_answer_gets_no_key_stored(vault: FakeVault) -> None:
    """Init can be repeated after an outage of KMS."""
    vault.kms.down = True
    with pytest.raises(UnavailableError):
        init(vault)
    assert vault.database.keys == {}
    vault.kms.down = False
    assert len(init(vault).created) == 3


def test_without_an_intent_nothing_is_made(vault: FakeVault) -> None:
    """Without an intent, KMS is not even asked for a key."""
    vault.audit.broken = {Phase.INTENT}
    generated = len(vault.kms.generated)
    with pytest.raises(AuditError):
        init(vault)
    assert len(vault.kms.generated) == generated
    assert vault.database.keys == {}


def test_data_keys_are_no_token_keys(vault: FakeVault) -> None:
    """A vault with data keys alone still needs its first token keys."""
    new, _ = make_data_key(vault.kms, IP)
    vault.keys.store(new, KeyState.ACTIVE)
    assert len(init(vault).created) == 3
