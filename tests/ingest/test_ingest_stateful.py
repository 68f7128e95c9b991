"""Ingest as a state machine: sends, time, rotations, crashes and redeliveries in any order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.kit.declarations import DEFAULT, SHOP
from tests.kit.fakes.faulty_queue import BAD_DAY, FaultyQueue
from tests.kit.fakes.receipts import any_receipt
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import IMPATIENT, PATIENT, FakeVault, rotate_request
from tests.kit.messages import numbered
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import UnavailableError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.ingest.steps import Bounds
from vault_etl.platform.waiting import Patience


class Death(BaseException):
    """The end of the process."""


class IngestMachine(RuleBasedStateMachine):
    """One queue, one database, and processes that start and end."""

    declaration = DEFAULT

    @initialize(seed=st.none() | st.integers(0, 999))
    def start(self, seed: int | None) -> None:
        """Start with an empty vault, and a good queue or a bad one."""
        self.vault = FakeVault(declaration=self.declaration)
        self.is_bad_day = seed is not None
        if seed is not None:
            self.vault.use_queue(FaultyQueue(self.vault.clock, BAD_DAY, seed=seed))
        self.sent: dict[object, bytes] = {}
        self.pending = False

    @rule(good=st.lists(st.booleans(), min_size=1, max_size=15), delay=st.sampled_from([0, 30]))
    def send(self, good: list[bool], delay: int) -> None:
        """Send messages, some of them not events, some late."""
        sent_ms = int(self.vault.clock.now().timestamp() * 1000)
        for is_event in good:
            body = numbered(self.declaration, len(self.sent)) if is_event else b"junk"
            message_id = self.vault.queue.send(body, delay=delay)
            self.sent[record_id_of_message(message_id, sent_ms)] = body

    @rule(
        at=st.integers(0, 40),
        after=st.booleans(),
        dies=st.booleans(),
        batch_size=st.sampled_from([1, 7, 1_000]),
        receivers=st.integers(1, 3),
        patience=st.sampled_from([IMPATIENT, PATIENT]),
    )
    def run_and_break(
        self,
        at: int,
        after: bool,
        dies: bool,
        batch_size: int,
        receivers: int,
        patience: Patience,
    ) -> None:
        """Run a process until one of its calls fails, or waits until the call works again."""
        error: BaseException = Death() if dies else UnavailableError("not there")
        breaker = Breaker(at, error, after=after, for_good=dies)
        try:
            self.vault.tapped(breaker.tap).drain(
                batch_size=batch_size, receivers=receivers, patience=patience
            )
        except Death:
            assert breaker.broke
        except UnavailableError:
            assert breaker.broke or self.is_bad_day

    @rule(seconds=st.sampled_from([1, 31, 61, 90_000]))
    def wait(self, seconds: int) -> None:
        """Let time pass: visibility timeouts end, and so do leases."""
        self.vault.clock.advance(seconds)

    @rule()
    def retire_data_keys(self) -> None:
        """Rotate the data keys."""
        self.vault.keys.retire_data_keys(rotate_request(), self.declaration.data_fields)

    @rule()
    def token_rotation(self) -> None:
        """Make a generation pending, or cut over to the pending one."""
        tokens = {key.generation or 0: key for key in self.vault.keys.token_keys()}
        newest = max(tokens)
        if not self.pending:
            self.vault.add_token_keys(newest + 1, KeyState.PENDING)
        else:
            for key in self.vault.keys.token_keys():
                state = KeyState.ACTIVE if key.generation == newest else KeyState.DECRYPT_ONLY
                self.vault.database.set_state(key.key_id, state)
        self.pending = not self.pending

    @invariant()
    def nothing_is_stored_that_was_not_sent(self) -> None:
        """No message is both a record and in quarantine, and each was sent."""
        records, quarantine = set(self.vault.database.records), set(self.vault.database.quarantine)
        assert records | quarantine <= set(self.sent)
        assert not records & quarantine

    @invariant()
    def what_is_gone_from_the_queue_is_stored(self) -> None:
        """Each message is in the queue, or committed, or both."""
        missing = len(self.sent) - len(self.vault.database.records | self.vault.database.quarantine)
        assert missing <= len(self.vault.queue.message_ids)

    def teardown(self) -> None:
        """Finally, a run without faults loads every message once, and every value opens."""
        if not hasattr(self, "vault"):
            return
        vault = self.vault
        vault.clock.advance(3_600)
        vault.drain(visibility=60, patience=PATIENT, bounds=Bounds(wait_in_flight=True))
        stored = {**vault.database.records, **vault.database.quarantine}
        assert set(stored) == set(self.sent)
        assert vault.queue.message_ids == []
        ring = vault.ring()
        for event, field, record_id, subject, ciphertext in vault.database.placed_ciphertexts():
            place = (
                ValuePlace.in_quarantine(record_id)
                if field == QUARANTINE
                else ValuePlace(event, field, field, record_id, subject)
            )
            key = ring.data_key(Ciphertext.parse(ciphertext).key_id, field)
            Opener(any_receipt()).open(ciphertext, place, key)


TestIngest = IngestMachine.TestCase
TestIngest.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


class ShopMachine(IngestMachine):
    """The same with two events, whose messages take turns."""

    declaration = SHOP


TestIngestOfShop = pytest.mark.declared(ShopMachine.TestCase)
TestIngestOfShop.settings = TestIngest.settings
