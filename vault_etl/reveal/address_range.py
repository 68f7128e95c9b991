"""A range of addresses, written out: what has a token is one address."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence

from vault_etl.base.errors import UsageError


def addresses_of(text: str, limit: int) -> Sequence[str] | None:
    """The addresses of `198.51.100.0/24` or `198.51.100.7-198.51.100.9`, in order; None for what is no range.

    Raises UsageError, without the range, for more than `limit` of them.
    """
    with contextlib.suppress(ValueError):
        if "/" in text:
            network = ipaddress.ip_network(text.strip(), strict=False)
            first, last = network[0], network[-1]
        else:
            first, last = map(ipaddress.ip_address, map(str.strip, text.split("-")))
        count = int(last) - int(first) + 1
        if first.version == last.version and count > 0:
            if count > limit:
                message = f"a range has more than {limit:,} addresses"
                raise UsageError(message, hint="look for a part of it at a time")
            kind = type(first)
            return [str(kind(number)) for number in range(int(first), int(last) + 1)]
    return None
