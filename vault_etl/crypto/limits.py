"""Limits of data keys."""

from __future__ import annotations

import datetime as dt
from typing import Final

MAX_SEALS: Final = 2**28
"""Seals under one data key. GCM with random 96-bit nonces is safe to 2^32 (NIST SP 800-38D, 8.3):
2^28 keeps the chance of one repeated nonce below 2^-41."""

MAX_LEASE: Final = dt.timedelta(hours=24)
"""The longest time for which one process may seal under a data key."""
