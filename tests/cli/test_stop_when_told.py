"""SIGTERM ends long work as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from vault_etl.base.errors import IncompleteError
from vault_etl.cli.ui.signals import stop_when_told


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """Give the signal back to the handler of the test runner."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_signal_during_the_work_is_an_error_that_says_to_run_the_command_again() -> None:
    """Exit 75: finished work stays finished."""
    with pytest.raises(IncompleteError) as caught, stop_when_told():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 75
    assert "run the command again" in (caught.value.hint or "")


def test_a_signal_runs_the_cleanup_of_the_work() -> None:
    """The error passes through every `finally`, as an exception does."""
    tidied: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            tidied.append("up")

    with pytest.raises(IncompleteError), stop_when_told():
        work()
    assert tidied == ["up"]


@pytest.mark.parametrize("error", [None, ValueError("a bug"), KeyboardInterrupt()])
def test_after_the_work_the_signal_has_its_former_handler(error: BaseException | None) -> None:
    """The former handler is back however the work ended."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with stop_when_told():
            assert signal.getsignal(signal.SIGTERM) is not before
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt) as raised:
        assert raised is error  # noqa: PT017 - there is none in the first case
    assert signal.getsignal(signal.SIGTERM) is before
    signal.raise_signal(signal.SIGTERM)
