"""The server, its migrations, the months that have a place, and the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import ClosedArchive, ServerFacts

OLDEST: Final = 160_000
"""PostgreSQL 16."""

MONTHS_AHEAD: Final = 3
"""How far ahead ingest makes partitions, at its start and once a day."""


def server(facts: ServerFacts) -> Verdict:
    """Reachable, new enough, UTF-8, under the login's own name; and whether through a pooler, which is no fault."""
    found = facts.server()
    if found.version < OLDEST:
        return Verdict.bad(
            f"PostgreSQL {found.version // 10_000} is too old",
            "vault-etl needs PostgreSQL 16 or newer",
        )
    if found.encoding != "UTF8":
        return Verdict.bad(
            f"the database's encoding is {found.encoding}",
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move to it",
        )
    if not found.as_login:
        return Verdict.bad(
            "the pooler connects under another login's name, which the audit log and the quotas take for this one",
            "take `user` out of its database's settings: each login has to be its own",
        )
    through = ", through a pooler, whose address is `client_address` in the audit log"
    return Verdict.good(
        f"PostgreSQL {found.version // 10_000}, UTF8{through if found.pooled else ''}"
    )


def migrations(pending: Mapping[str, bool]) -> Sequence[Verdict]:
    """None is pending. Online work (True) that is left keeps no other check from its look."""
    if not all(pending.values()):
        do = "run `vault-etl migrate` as the owner"
        return [Verdict.bad(f"pending: {', '.join(pending)}", do)]
    if pending:
        left = f"online work is left: {', '.join(pending)}"
        good = Verdict.good("up to date, but for online work")
        return [good, Verdict.bad(left, "run `vault-etl migrate --online` as the owner")]
    return [Verdict.good("up to date")]


_OURS: Final = "every function, grant, trigger and table is as the migrations made it"
_NOT_OURS: Final = "is not of the migrations"
_ADDED: Final = "find out who made it, then DROP or REVOKE it"
_AWAY: Final = "it may hold rows that are nowhere else: `vault-etl partitions list` says what it is"
_CHANGED: Final = "find out who changed it, then make it again as its migration does"
_MORE: Final = "(docs/operations/doctor.md, Guards that were changed)"


def schema(differences: Sequence[str]) -> Sequence[Verdict]:
    """Everything that guards the vault inside Postgres is as the migrations made it: a line a difference."""

    def hint(line: str) -> str:
        if line.startswith("detached partition "):
            return _AWAY
        return _ADDED if line.endswith(_NOT_OURS) else _CHANGED

    return [Verdict.bad(line, f"{hint(line)} {_MORE}") for line in differences] or [
        Verdict.good(_OURS)
    ]


def partitions(facts: ServerFacts) -> Verdict:
    """Events of this month and the next ones have a place to go to."""
    told = _closed(facts.detached_months(), facts.archives())
    if missing := facts.missing_months(MONTHS_AHEAD):
        return Verdict.bad(
            f"months without a partition, or with a part of one: {', '.join(missing)}{told}",
            "start `vault-etl ingest`, which makes them at its start and once a day, or run"
            " `vault-etl partitions ensure`; `vault-etl partitions list` shows what is closed",
            missing_months=list(missing),
        )
    text = f"this month and {MONTHS_AHEAD} more have partitions{told}"
    return Verdict.good(text, missing_months=[])


def _closed(detached: Sequence[str], archives: Sequence[ClosedArchive]) -> str:
    alone = sum(archive.alone for archive in archives)
    stale = [archive.partition for archive in archives if archive.erasures]
    told = (
        (detached, f"{len(detached)} detached, where no rotation comes: {', '.join(detached)}"),
        (alone, f"{alone} archived"),
        (stale, f"archives that still hold erased rows: {', '.join(stale)}"),
    )
    return "".join(f"; {text}" for there, text in told if there)


def fence(facts: ServerFacts) -> Verdict:
    """The table whose lock is the fence holds nothing, and never did."""
    if facts.fence_bytes():
        return Verdict.bad(
            "key_fence is not empty, or was not",
            "it is only there to be locked: find out who wrote to it, then"
            " TRUNCATE public.key_fence as the owner",
        )
    return Verdict.good("key_fence is empty")
