"""Tokens of a generation that is not in use, beside those that are."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Cleared:
    """Of how many rows of a page something was taken; and the last row of the page, None if there was no page left."""

    rows: int
    last: uuid.UUID | None


class OldTokens(Protocol):
    """May take the tokens of a generation that is neither active nor pending out of `next_…`."""

    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """Commit NULL in the next tokens and their generation of the first `limit` rows behind `after`.

        Only of those whose next tokens are of `generation`, and of none while that is active or
        pending. To be repeated with what it returns until `last` is None; safe to repeat from the
        start, and to run twice at once.
        """
