"""Retries of quarantined messages on the fake vault."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declared import IP
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.quarantine import FakeQuarantine
from tests.kit.fakes.quarantined import quarantine
from tests.kit.fakes.vault import FakeVault, reveal_request, rotate_request
from tests.kit.parsed import LOGINS
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.quarantine import retry as retry_quarantine
from vault_etl.quarantine.read import RetryFilter
from vault_etl.quarantine.retry import QuarantineRetry, RetryReport

GOOD = [login_event(user_id=f"user-{n}", ip=f"198.51.100.{n}") for n in range(5)]
BAD = [b"junk", login_event(ip="no-address")]


EVERY_ADDRESS = [f"198.51.100.{n}".encode() for n in range(5)]


def seven_messages(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Return a vault with five messages that pass and two that fail, in batches of three."""
    monkeypatch.setattr(retry_quarantine, "BATCH_ROWS", 3)
    filled = FakeVault()
    quarantine(filled, *GOOD, *BAD)
    return filled


def retry(vault: FakeVault, tap: Callable[[Any], Any] = lambda part: part) -> QuarantineRetry:
    """Return a retry, in a new process, whose parts are seen through the tap."""
    seen = vault.tapped(tap)
    ring = seen.ring()
    return QuarantineRetry(
        audit=seen.audit,
        mover=tap(FakeQuarantine(vault.database, vault.loader)),
        partitions=seen.loader,
        ring=ring,
        value_keys=seen.value_keys(ring),
        leases=seen.leases(),
        clock=vault.clock,
        progress=vault.progress,
        months=vault.database,
        parser_of=lambda *_: LOGINS,
    )


def request() -> AuditRequest:
    """A request to retry."""
    return dataclasses.replace(rotate_request(QUARANTINE), action=Action.QUARANTINE_RETRY)


def run(vault: FakeVault, *only: uuid.UUID) -> RetryReport:
    """Retry these ids, or all."""
    return retry(vault).move(request(), RetryFilter(only or None))


def numbers(report: RetryReport) -> tuple[int, int, int]:
    """Tried, moved, still quarantined."""
    return report.retried, report.moved, report.still_quarantined


def addresses(vault: FakeVault) -> list[bytes]:
    """The address of every record, revealed, which compares its token too."""
    revealed = [
        vault.reveal()(reveal_request(record_id)).values[IP] for record_id in vault.database.records
    ]
    return sorted(value.expose() for value in revealed if value)
