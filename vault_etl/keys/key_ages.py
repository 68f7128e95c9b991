"""How old keys are, for whoever must know when to rotate."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.age import Ages


class KeyAges(Protocol):
    """May read when keys were made."""

    def oldest(self, state: KeyState) -> Ages:
        """The age of each purpose's oldest key in this state, by the clock that dated it.

        A purpose without such a key is left out.
        """


class KeyAgeObserver(Protocol):
    """Told now and then, by one thread."""

    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        """How old keys of this purpose may become; 0: as old as they like."""

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """How old the oldest active key of this purpose is; None: there is none."""
