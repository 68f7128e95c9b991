"""Credentials in hand are used while their source fails, and a source that fails is left alone for a while."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import CredentialProvider, Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.platform.aws_credentials import HeldCredentials
from vault_etl.platform.aws_errors import CredentialsError


class Source(CredentialProvider):
    """A provider whose credentials last so many seconds, and are renewed by `renew`."""

    METHOD = "container-role"

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.asked = 0
        self.renew: Callable[[], None] = lambda: None

    def load(self) -> RefreshableCredentials:
        """Count the call, and return the credentials."""
        return RefreshableCredentials.create_from_metadata(self._ask(), self._ask, self.METHOD)

    def _ask(self) -> dict[str, Any]:
        self.asked += 1
        self.renew()
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.seconds)
        return {
            "access_key": f"key{self.asked}",
            "secret_key": "secret",
            "token": "token",
            "expiry_time": ends.isoformat(),
        }


def away() -> None:
    """The error of a container's endpoint that is away."""
    raise CredentialRetrievalError(provider="container-role", error_msg="203.0.113.7")


def test_held_credentials_are_used_while_they_are_valid() -> None:
    """They are used in the last ten minutes too; the source is asked after a pause, not at each call."""
    source = Source(540)
    now = [0.0]
    held = HeldCredentials(lambda: [source], lambda: now[0])
    first = held.get_frozen_credentials()
    source.renew = away
    now[0] = 11.0
    asked = source.asked
    assert [held.get_frozen_credentials() for _ in range(3)] == [first] * 3
    assert source.asked == asked + 1
    source.renew = lambda: None
    now[0] = 30.0
    assert held.get_frozen_credentials() != first


def test_expired_credentials_are_an_outage_until_there_are_others() -> None:
    """Each call fails at once, without the source's text; the next attempt is after the pause."""
    source = Source(-60)
    now = [0.0]
    held = HeldCredentials(lambda: [source], lambda: now[0])
    source.renew = away
    for _ in range(3):
        with pytest.raises(CredentialsError) as caught:
            held.get_frozen_credentials()
        assert isinstance(caught.value.error, UnavailableError)
        assert "203.0.113.7" not in f"{caught.value} {caught.value.error.hint}"
    assert source.asked == 1
    source.seconds, source.renew = 3600, lambda: None
    now[0] = 11.0
    assert held.get_frozen_credentials().access_key == "key2"


@pytest.mark.parametrize("part", ["access_key", "secret_key", "token"])
@pytest.mark.parametrize(
    "text", ["t\u00f6ken-canary", "canary\r\nX-Evil: 1", "canary ", "canary\udcff"]
)
def test_credentials_that_no_request_can_carry_are_a_wrong_setting(part: str, text: str) -> None:
    """They would fail each call for ever. The error does not quote them."""
    parts = {"access_key": "key", "secret_key": "secret", "token": "token", part: text}
    source = Source(3600)
    source.load = lambda: Credentials(**parts)  # type: ignore[method-assign, return-value, assignment]
    with pytest.raises(CredentialsError) as caught:
        HeldCredentials(lambda: [source]).get_frozen_credentials()
    assert isinstance(caught.value.error, ConfigurationError)
    assert "canary" not in f"{caught.value} {caught.value.error.hint}"


def test_short_lived_credentials_are_renewed_in_time() -> None:
    """A source whose credentials end in moments is asked by each call."""
    source = Source(3)
    held = HeldCredentials(lambda: [source], lambda: 0.0)
    assert held.get_frozen_credentials() != held.get_frozen_credentials()


def test_a_silent_source_holds_up_one_thread_alone() -> None:
    """The other threads sign with the credentials in hand meanwhile."""
    source = Source(540)
    now = [0.0]
    held = HeldCredentials(lambda: [source], lambda: now[0])
    first = held.get_frozen_credentials()
    entered, over = threading.Event(), threading.Event()

    def silent() -> None:
        entered.set()
        over.wait(60)

    source.renew = silent
    now[0] = 11.0
    waiting = threading.Thread(target=held.get_frozen_credentials)
    waiting.start()
    assert entered.wait(60)
    assert held.get_frozen_credentials() == first
    assert waiting.is_alive()
    over.set()
    waiting.join()


def test_missing_credentials_are_a_wrong_setting() -> None:
    """Credentials that no provider has do not come by waiting."""
    with pytest.raises(CredentialsError) as caught:
        HeldCredentials(list).get_frozen_credentials()
    assert isinstance(caught.value.error, ConfigurationError)
    assert caught.value.code == "NoCredentialsError"
