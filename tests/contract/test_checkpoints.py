"""Where checkpoints are kept: the key that is expected to sign them, and the notes as they were signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fakes.checkpoints import FakeCheckpoints, FakeHeadSigner
from tests.fakes.identity import FakeIdentity
from tests.vault import Vault
from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_checkpoints import PostgresCheckpoints, PostgresKeyRegistry
from vault_etl.core.audit import Action, AuditRequest
from vault_etl.core.checkpoint import Head
from vault_etl.ports.checkpoints import CheckpointStore, KeyRegistry, SigningKey
from vault_etl.services.audit_request import audit_request
from vault_etl.services.signed_log import sign_head


class Desk:
    """A store, a way to register a key in it, and what it holds."""

    def __init__(
        self,
        store: Callable[[], CheckpointStore],
        register: Callable[[SigningKey], Head],
        notes: Callable[[], list[str]],
    ) -> None:
        self.store, self.register, self.notes = store, register, notes


class FakeRegistry:
    """Registers in the fake."""

    def __init__(self, checkpoints: FakeCheckpoints) -> None:
        self._checkpoints = checkpoints

    def register(self, request: AuditRequest, key: SigningKey) -> Head:
        """See `KeyRegistry.register`."""
        del request
        self._checkpoints.key = key
        return self.head()

    def head(self) -> Head:
        """See `KeyRegistry.head`."""
        return Head(2, bytes(32))


def _registering(registry: KeyRegistry) -> Callable[[SigningKey], Head]:
    def register(key: SigningKey) -> Head:
        request = audit_request(FakeIdentity(), Action.KEY_REGISTER, "a test")
        return registry.register(request, key)

    return register


@pytest.fixture(params=["fake", "postgres"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Without a key."""
    if request.param == "fake":
        fake = FakeCheckpoints(None)
        yield Desk(
            lambda: fake, _registering(FakeRegistry(fake)), lambda: [c.note for c in fake.stored]
        )
        return
    vault: Vault = request.getfixturevalue("database")
    signing, auditing = (Database(vault.database_url(role)) for role in ("reveal", "audit"))
    yield Desk(
        lambda: PostgresCheckpoints(signing),
        _registering(PostgresKeyRegistry(auditing)),
        lambda: [note for (note,) in vault.sql("SELECT note FROM audit_checkpoints ORDER BY 1")],
    )
    signing.close()
    auditing.close()


def test_no_key_is_expected_until_one_is_registered(desk: Desk) -> None:
    """Then that one, with its ARN."""
    assert desk.store().expected_key() is None
    key = FakeHeadSigner().signing_key()
    desk.register(key)
    expected = desk.store().expected_key()
    assert expected is not None
    assert (expected.kms_key_arn, expected.key.spki) == (key.kms_key_arn, key.key.spki)


def test_the_newest_key_is_expected(desk: Desk) -> None:
    """The older one stays on the record."""
    keys = [FakeHeadSigner().signing_key() for _ in range(2)]
    heads = [desk.register(key) for key in keys]
    expected = desk.store().expected_key()
    assert expected is not None
    assert expected.key.spki == keys[1].key.spki
    assert heads[0].seq <= heads[1].seq


def test_a_vault_has_one_id(desk: Desk) -> None:
    """The same for whoever asks."""
    assert desk.store().vault_id() == desk.store().vault_id()


def test_what_is_signed_is_stored_as_it_is(desk: Desk) -> None:
    """The note, byte for byte."""
    signer = FakeHeadSigner()
    head = desk.register(signer.signing_key())
    checkpoint = sign_head(head, desk.store(), signer, signer.signing_key())
    assert desk.notes() == [checkpoint.note]
