"""Discarding in batches: each a request of its own, until nothing matches; then the head is signed, once."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.kit.fakes.checkpoints import FakeCheckpoints, FakeHeadSigner
from tests.kit.fakes.progress import FakeProgress
from tests.kit.fakes.quarantine import FakeQuarantine, FakeQuarantineDiscarder
from tests.kit.fakes.vault import FakeVault, find_request
from vault_etl.audit.checkpoint import Checkpoint
from vault_etl.audit.entries import Action
from vault_etl.base.errors import AuditError
from vault_etl.quarantine.discard import DiscardQuarantine
from vault_etl.quarantine.read import EVERY_ROW

REQUEST = dataclasses.replace(find_request(), action=Action.QUARANTINE_DISCARD)


@dataclasses.dataclass
class World:
    """Seven quarantined messages, and what discards three of them at a time."""

    vault: FakeVault
    signer: FakeHeadSigner
    kept: list[Checkpoint]
    progress: FakeProgress
    discard: DiscardQuarantine


@pytest.fixture
def world() -> World:
    """See `World`."""
    vault, signer, progress = FakeVault(), FakeHeadSigner(), FakeProgress()
    kept: list[Checkpoint] = []
    for body in (b"{" * n for n in range(1, 8)):
        vault.writer().write(vault.receive(body))
        vault.clock.advance(1)
    reader = FakeQuarantine(vault.database, vault.loader)
    discard = DiscardQuarantine(
        FakeQuarantineDiscarder(vault.database, reader, batch=3),
        FakeCheckpoints(signer.signing_key()),
        signer,
        kept.append,
        progress,
    )
    return World(vault, signer, kept, progress, discard)


def test_batch_after_batch_until_nothing_matches(world: World) -> None:
    """3, 3 and 1: three requests of two entries; one signed head, the last one's."""
    assert world.discard.matching(EVERY_ROW, None).messages == 7
    assert world.discard(REQUEST, EVERY_ROW, None) == 7
    log = world.vault.database.audit
    assert [entry.phase for entry in log] == ["intent", "outcome"] * 3
    assert len({entry.request_id for entry in log}) == 3
    assert log[0].request_id == REQUEST.request_id
    assert [note.head.seq for note in world.kept] == [6]
    assert not world.vault.database.quarantine


def test_ids_are_asked_for_again_until_none_is_left(world: World) -> None:
    """A later batch does not begin behind the time of an earlier one: ids are in any order."""
    ids = sorted(world.vault.database.quarantine)[:4]
    assert world.discard(REQUEST, EVERY_ROW, [*ids, uuid.uuid4()]) == 4
    assert len(world.vault.database.quarantine) == 3


def test_an_empty_discard_signs_nothing(world: World) -> None:
    """The log gets no entry either."""
    assert world.discard(REQUEST, EVERY_ROW, [uuid.uuid4()]) == 0
    assert (world.kept, world.vault.database.audit) == ([], [])


def test_what_is_gone_is_gone_when_the_head_is_not_signed(world: World) -> None:
    """The error says so."""
    world.signer.down = True
    with pytest.raises(AuditError, match="could not be signed") as raised:
        world.discard(REQUEST, EVERY_ROW, None)
    assert "deleted and on the record" in str(raised.value.hint)
    assert not world.vault.database.quarantine
