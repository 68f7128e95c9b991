"""Credentials that cannot be renewed: those in hand are used, and then the source is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.endurance.outages.following import Following, following
from tests.endurance.outages.survival import everything_once
from tests.endurance.outages.together import Together
from tests.kit.credentials_server import CredentialsServer, Reply, credentials
from tests.kit.events import events
from tests.kit.vault import Vault

AT_ONCE = 4
MESSAGES = 12
AWAY: Reply = (503, b"")


def lasting(vault: Vault, seconds: float) -> Reply:
    """Credentials that last so long from the moment that they are asked for."""
    return lambda: (200, credentials(vault.environment("ingest"), seconds))


@contextmanager
def contained(vault: Vault, seconds: float) -> Iterator[tuple[Following, CredentialsServer]]:
    """An ingest in a container, whose credentials last so long."""
    with (
        CredentialsServer((200, credentials(vault.environment("ingest"), seconds))) as source,
        following(
            vault,
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=source.url,
        ) as run,
    ):
        yield run, source


def in_hand(vault: Vault, reply: Reply) -> None:
    """Credentials that are valid for minutes more: ingest does not notice the outage."""
    with contained(vault, 9 * 60) as (run, source):
        run.until_ready()
        source.reply = reply
        asked = source.asked
        run.until(lambda: source.asked >= asked + 3)  # botocore's own three tries, in vain
        vault.send(events(MESSAGES))
        run.until_settled(MESSAGES)
        assert run.was_away() == set()
        source.reply = lasting(vault, 3600)
        everything_once(run, MESSAGES)
        assert "Traceback" not in run.stderr


def away(vault: Vault) -> None:
    """Credentials that have run out: ingest is not ready, holds its messages, and continues by itself."""
    with contained(vault, 20) as (run, source):
        run.until_ready()
        source.reply = AWAY
        run.until_away("unavailable")
        vault.send(events(MESSAGES))
        source.reply = lasting(vault, 3600)
        run.until_ready()
        run.until_settled(MESSAGES)
        everything_once(run, MESSAGES)


def refused(vault: Vault) -> None:
    """A source that says no is a refusal: another word on /readyz, and a minute of patience."""
    with contained(vault, 20) as (run, source):
        run.until_ready()
        source.reply = (403, b"")
        run.until_away("denied")
        source.reply = lasting(vault, 3600)
        run.until_ready()


CASES = {
    "in hand, and the source away": lambda vault: in_hand(vault, AWAY),
    "in hand, and the source silent": lambda vault: in_hand(vault, None),
    "run out": away,
    "refused": refused,
}


@pytest.mark.parametrize("case", CASES)
def test_a_source_of_credentials_that_fails_is_waited_for(cases: Together, case: str) -> None:
    """Valid credentials are used meanwhile; without any, what can pass is waited for."""
    cases.result(case)
