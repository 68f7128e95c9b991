"""`--if-due`: a scheduler calls every day, and something is done when it is time."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING

from vault_etl.crypto.fields import KeyPurpose

if TYPE_CHECKING:
    from vault_etl.app import Program


def is_due(
    program: Program,
    purpose: KeyPurpose,
    *,
    quiet: bool,
    unfinished: bool = False,
    oldest: dt.datetime | None = None,
) -> bool:
    """Whether to rotate: keys in use are older than they may be, or a rotation was left half way.

    Or rows are still under a retired key, made at `oldest`, that is older than a key may be: a lazy
    rotation was never followed by another. Says so if not.
    """
    age = program.key_age(purpose)
    left = age.limit and oldest is not None and dt.datetime.now(dt.UTC) - oldest > age.limit
    if age.is_due or unfinished or left:
        return True
    if not quiet:
        sys.stderr.write(f"vault-etl: nothing is due: {age}\n")
    return False
