"""Received messages are held while a dependency is unavailable: an outage costs a message one receive at most."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.ingest.runs import counts, send
from tests.kit.fakes.queue import FakeQueue, Redrive
from tests.kit.fakes.stepped_ingest import SteppedIngest
from tests.kit.fakes.switch import Switch
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from vault_etl.base.errors import DeniedError, UnavailableError, VaultEtlError
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.steps import PROBE_SECONDS, STUCK_SECONDS, Bounds
from vault_etl.platform.waiting import FOLLOWING, Patience

TEN_MINUTES = 600.0
HALF_A_DAY = 43_200.0
VISIBILITY_S = 30
MAX_RECEIVES = 5
SENT = 100

DATABASE = ("load", "prepare_partitions", "add_data_key")
KMS = ("generate", "unwrap")
QUEUE = ("receive", "delete", "extend", "depth")


class Outage:
    """A vault with messages, a process that follows the queue, and a switch."""

    def __init__(self, *names: str, patience: Patience = PATIENT, receivers: int = 2) -> None:
        self.vault = FakeVault()
        self.dead_letters = FakeQueue(self.vault.clock)
        redrive = Redrive(MAX_RECEIVES, self.dead_letters)
        self.vault.use_queue(FakeQueue(self.vault.clock, VISIBILITY_S, redrive=redrive))
        send(self.vault, SENT)
        self.switch = Switch(*names)
        seen = self.vault.tapped(self.switch.tap)
        self.ingest: SteppedIngest = seen.ingest(
            bounds=Bounds(follow=True), patience=patience, receivers=receivers, batch_size=30
        )

    def lasts(self, seconds: float, *, step: float = 0) -> None:
        """Let time pass, with all steps of the process."""
        ends = self.vault.clock.monotonic() + seconds
        while self.vault.clock.monotonic() < ends:
            self.ingest.round()
            self.vault.clock.advance(step)

    def receives(self) -> list[int]:
        """Return the receive count of each message."""
        messages = [*self.vault.queue._messages.values(), *self.dead_letters._messages.values()]
        return [message.receives for message in messages]

    @property
    def is_ready(self) -> bool:
        """Return the last reported readiness."""
        self.ingest.steps.tell()
        return self.vault.observer.states[-1].ready

    def stop_receiving(self) -> int:
        """Return the number of received messages: all of them, and no further message comes."""
        assert self.vault.queue.depth() == QueueDepth(0, 0, 0)
        return self.ingest.steps.engine.tally.received

    def stop(self) -> dict[str, object]:
        """End the run. Return the summary."""
        stop = threading.Event()
        stop.set()
        return counts(self.ingest.run(stop))


@pytest.mark.parametrize("names", [DATABASE, KMS], ids=["database", "kms"])
def test_ten_minutes_of_outage_cost_no_message_a_second_receive(names: tuple[str, ...]) -> None:
    """Messages are held, not given back: the dead-letter queue, which takes them after five receives, stays empty."""
    outage = Outage(*names)
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert set(outage.receives()) == {0, 1}
    assert not outage.is_ready
    assert outage.vault.observer.states[-1].unavailable == "unavailable"
    assert outage.vault.database.records == {}
    outage.switch.on()
    outage.lasts(60)
    assert outage.is_ready
    assert outage.dead_letters.message_ids == []
    assert outage.stop() == {"received": SENT, "stored": SENT, "deleted": SENT}


def test_an_outage_of_the_database_is_noticed_without_messages() -> None:
    """The outage and its end are noticed within seconds, with a check every few seconds at most."""
    outage = Outage("probe")
    outage.lasts(60)
    assert outage.is_ready
    assert outage.stop_receiving() == SENT
    outage.switch.off()
    outage.lasts(PROBE_SECONDS + 1, step=0.1)
    assert not outage.is_ready
    outage.lasts(TEN_MINUTES, step=0.5)
    assert 15 < outage.switch.refused < 40
    outage.switch.on()
    outage.lasts(60, step=0.5)
    assert outage.is_ready


def test_a_stuck_thread_is_reported() -> None:
    """The report has the thread's name, not before the time is over, and not after the step has ended."""
    outage = Outage()
    steps = outage.ingest.steps
    steps.busy["write"] = outage.vault.clock.monotonic()
    for seconds, stuck in ((STUCK_SECONDS - 1, None), (1, "write")):
        outage.vault.clock.advance(seconds)
        steps.tell()
        assert outage.vault.observer.states[-1].stuck == stuck
    del steps.busy["write"]
    steps.tell()
    assert outage.vault.observer.states[-1].stuck is None


def test_receiving_pauses_while_nothing_can_be_written() -> None:
    """Each receiver takes one call at most: other processes may load the rest of the queue."""
    outage = Outage(*DATABASE, receivers=3)
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert outage.ingest.steps.engine.tally.received == 30
    assert outage.vault.queue.depth().visible == SENT - 30


def test_the_tries_become_rarer() -> None:
    """Some thirty tries in ten minutes do not overload a database that starts."""
    outage = Outage("load")
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert 15 < outage.switch.refused < 40


def test_one_receive_is_tried_at_a_time_while_the_queue_is_away() -> None:
    """The others would be lost together with it, and would make a slow queue slower."""
    vault = FakeVault()
    send(vault, SENT)
    acts = iter(["fail", "let another one try"])
    others: list[bool] = []

    def receive(name: str, call: Callable[[], Any]) -> object:
        match name == "receive" and next(acts, None):
            case "fail":
                raise UnavailableError("away")
            case "let another one try":
                others.append(steps.receive(1, 0))
        return call()

    steps = vault.tapped(lambda part: Tap(part, receive)).steps(receivers=2, patience=PATIENT)
    assert [steps.receive(number, 0) for number in range(2)] == [False, False]
    vault.clock.advance(2)
    assert steps.receive(0, 0)
    assert others == [False]
    assert steps.receive(1, 0)


def test_a_queue_that_is_unavailable_is_waited_for() -> None:
    """Then all messages are loaded."""
    outage = Outage(*QUEUE)
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert not outage.is_ready
    outage.switch.on()
    outage.lasts(60)
    assert outage.is_ready
    assert outage.stop() == {"received": SENT, "stored": SENT, "deleted": SENT}


def test_no_message_comes_again_when_only_deletions_fail() -> None:
    """Stored messages are held until they can be deleted, and the outage is reported."""
    outage = Outage("delete")
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert len(outage.vault.database.records) == SENT
    assert set(outage.receives()) == {1}
    assert not outage.is_ready
    outage.switch.on()
    outage.lasts(60)
    assert outage.is_ready
    assert outage.vault.queue.message_ids == []


def test_a_network_that_is_cut_is_not_the_end() -> None:
    """Every handle has gone stale meanwhile: held messages come again, once, and all are loaded."""
    outage = Outage(*DATABASE, *KMS, *QUEUE)
    outage.ingest.round()
    assert outage.ingest.steps.engine.held
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    assert outage.ingest.steps.engine.held == 0
    outage.switch.on()
    outage.lasts(60)
    assert outage.is_ready
    assert len(outage.vault.database.records) == SENT
    assert outage.vault.queue.message_ids == []
    assert outage.dead_letters.message_ids == []


def test_an_outage_of_days_costs_a_receive_every_twelve_hours() -> None:
    """SQS hides no message for longer: the message is given back just before."""
    outage = Outage(*DATABASE)
    tally = outage.ingest.steps.engine.tally
    outage.switch.off()
    outage.lasts(HALF_A_DAY - 30, step=5)
    held = tally.received
    assert held == outage.ingest.steps.engine.held
    outage.lasts(HALF_A_DAY - 60, step=5)
    assert tally.given_back == held
    assert tally.received <= 2 * held
    assert max(outage.receives()) <= 2  # what is received next may be others
    outage.switch.on()
    outage.lasts(120)
    assert len(outage.vault.database.records) == SENT
    assert outage.dead_letters.message_ids == []


@pytest.mark.parametrize("names", [DATABASE, KMS, QUEUE], ids=["database", "kms", "queue"])
@pytest.mark.parametrize(
    ("error", "patience"),
    [
        (UnavailableError("not there"), Patience(unavailable=60, denied=0)),
        (DeniedError("no"), FOLLOWING),
    ],
    ids=["unavailable", "denied"],
)
def test_when_patience_is_over_the_run_ends_and_gives_back(
    names: tuple[str, ...], error: VaultEtlError, patience: Patience
) -> None:
    """Patience lasts a minute, and no held message stays hidden for long."""
    outage = Outage(*names, patience=patience)
    outage.ingest.round()
    outage.switch.off(error)
    began = outage.vault.clock.monotonic()
    with pytest.raises(type(error)):
        outage.ingest.run(threading.Event())
    assert 60 <= outage.vault.clock.monotonic() - began <= 70
    assert outage.ingest.steps.engine.tally.stored == len(outage.vault.database.records)
    assert all(seconds <= 30 for seconds in outage.vault.queue.hidden_for())


@pytest.mark.parametrize("names", [DATABASE, KMS, QUEUE, ("delete",), ("depth",)], ids="-".join)
def test_a_refusal_that_passes_is_waited_for(names: tuple[str, ...]) -> None:
    """Expired credentials are renewed within the minute."""
    outage = Outage(*names, patience=FOLLOWING)
    outage.ingest.round()
    outage.switch.off(DeniedError("ExpiredToken"))
    outage.lasts(20)
    outage.switch.on()
    outage.lasts(60)
    assert len(outage.vault.database.records) == SENT
    assert outage.vault.queue.message_ids == []


def test_a_role_that_may_not_delete_gets_an_error() -> None:
    """Otherwise every message would come again until it is a dead letter, without a reason."""
    outage = Outage("delete", patience=FOLLOWING)
    outage.switch.off(DeniedError("no"))
    with pytest.raises(DeniedError):
        outage.ingest.run(threading.Event())
    assert set(outage.receives()) == {1}


def test_a_refusal_after_an_outage_has_a_time_of_its_own() -> None:
    """A database that starts may refuse for a moment."""
    outage = Outage(*DATABASE, patience=FOLLOWING)
    outage.switch.off()
    outage.lasts(TEN_MINUTES)
    outage.switch.off(DeniedError("not yet"))
    outage.lasts(35)
    outage.switch.on()
    outage.lasts(60)
    assert len(outage.vault.database.records) == SENT


def test_an_error_that_waiting_cannot_fix_ends_the_run_at_once() -> None:
    """The patience does not matter."""
    outage = Outage("load")
    outage.switch.off(VaultEtlError("a bug"))
    with pytest.raises(VaultEtlError, match="a bug"):
        outage.ingest.run(threading.Event())
    assert outage.vault.clock.monotonic() < 5
    tally = outage.ingest.steps.engine.tally
    assert (tally.stored, tally.given_back) == (0, tally.received)
