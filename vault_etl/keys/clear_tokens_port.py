"""Take every token of a generation that is not in use out of the records, page by page."""

from __future__ import annotations

import uuid
from typing import Final

from vault_etl.base.progress import Progress
from vault_etl.keys.clear_tokens import OldTokens

PAGE_ROWS: Final = 5000
"""Short enough that a cut-over or an erasure waits for a page, and not for all of them."""


def clear_tokens(old_tokens: OldTokens, generation: int, progress: Progress) -> int:
    """Clear what `next_…` holds of `generation`; how many rows that was.

    Each page is committed by itself: interrupted, it goes on where it was when it is run again.
    """
    rows = 0
    after: uuid.UUID | None = None
    while True:
        cleared = old_tokens.clear(generation, after, PAGE_ROWS)
        if cleared.last is None:
            return rows
        after = cleared.last
        rows += cleared.rows
        progress.advance(cleared.rows, generation=generation)
