"""The empty polls of each receiver, which tell whether the queue may be empty."""

from __future__ import annotations

from typing import Final

EMPTY_POLLS: Final = 2
"""Empty long polls in a row, of every receiver, after which the queue's own counts are trusted."""


class Polls:
    """Counts the empty polls in a row of each receiver.

    Receivers with higher numbers come and go (`Crews`): they report what they find, and are not waited for.
    """

    def __init__(self, receivers: int) -> None:
        self._empty = [0] * receivers

    def ended(self, receiver: int, *, found: bool) -> None:
        """Record a poll that brought messages, or none."""
        if receiver < len(self._empty):
            self._empty[receiver] = 0 if found else self._empty[receiver] + 1
        elif found:
            self._ask_again()

    def failed(self, receiver: int) -> None:
        """Record that a poll failed: the queue may or may not be empty."""
        if receiver < len(self._empty):
            self._empty[receiver] = 0
        else:
            self._ask_again()

    def _ask_again(self) -> None:
        self._empty = [min(polls, EMPTY_POLLS - 1) for polls in self._empty]

    def lets_rest(self, receiver: int, *, follow: bool) -> bool:
        """Tell whether a receiver need not poll now, since nothing comes.

        Receiver 0 of an ingest that follows polls for all, so that short polls cost no more. In a drain, a receiver
        that has polled enough waits for the queue's counts.
        """
        is_extra = receiver >= len(self._empty)
        has_polled = is_extra or self._empty[receiver] >= EMPTY_POLLS
        return self.are_empty and (receiver > 0 if follow else has_polled)

    @property
    def are_enough(self) -> bool:
        """True if the last polls of every receiver, `EMPTY_POLLS` or more, brought nothing."""
        return min(self._empty) >= EMPTY_POLLS

    @property
    def are_empty(self) -> bool:
        """True if the last poll of every receiver brought nothing."""
        return all(self._empty)

    def queue_reported_more(self) -> None:
        """Record that the queue counts more messages: poll once more before its counts are read again."""
        self._empty = [EMPTY_POLLS - 1] * len(self._empty)
