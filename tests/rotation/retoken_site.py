"""A detached month whose retoken has begun, and claims of its ranges by SQL."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.kit.cut_over import Ready, filled_token, ready
from tests.kit.declarations import DEFAULT
from tests.kit.declared import USER_LOGINS
from tests.kit.entries import append_committed
from tests.kit.fakes.vault import rotate_request
from tests.kit.months import name_of
from tests.kit.scratch import Scratch
from tests.rotation.claims import CLAIM
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.records.months import choose
from vault_etl.rotation.next_tokens import NextTokens, TokenRow
from vault_etl.rotation.postgres_retoken import PostgresDetachedMonths, PostgresDetachedTokens
from vault_etl.rotation.ranges import Range, RotationStep
from vault_etl.rotation.retoken import DetachedMonth

EVERYTHING: Final = Range(USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1))


@dataclass(frozen=True, slots=True)
class Site:
    """A begun retoken in two ranges: a detached month with two records of generation 1; generation 2 is active."""

    vault: Ready
    month: DetachedMonth
    run: uuid.UUID
    rotation_id: uuid.UUID

    @property
    def scratch(self) -> Scratch:
        """The database of the site."""
        return self.vault.scratch

    def claim(
        self, rotation_id: uuid.UUID | None = None, run: uuid.UUID | None = None
    ) -> uuid.UUID:
        """Claim a range, with other values if given."""
        claim = uuid.uuid4()
        values = (rotation_id or self.rotation_id, claim, run or self.run)
        self.scratch.sql(CLAIM, *values, role="re-encrypt")
        return claim

    def rows(self, claim: uuid.UUID) -> Sequence[TokenRow]:
        """The rows that a claim gets."""
        with self.scratch.database("re-encrypt") as database:
            return PostgresDetachedTokens(database, DEFAULT).page(claim, EVERYTHING, 100).rows

    def fill(self, claim: uuid.UUID, rows: Sequence[TokenRow], generation: int = 2) -> int | None:
        """Write new tokens, each a function of the old token."""
        made = [
            NextTokens(row, {field: filled_token(token) for field, token in row.tokens.items()})
            for row in rows
        ]
        step = RotationStep(claim, EVERYTHING, None, is_done=True)
        with self.scratch.database("re-encrypt") as database:
            return PostgresDetachedTokens(database, DEFAULT).fill(made, generation, step)

    def claim_with_rows(self) -> tuple[uuid.UUID, Sequence[TokenRow]]:
        """Claim both ranges; return the claim that has rows, since the other range is empty."""
        claims = [self.claim(), self.claim()]
        return next((claim, rows) for claim in claims if (rows := self.rows(claim)))

    def said(self, claim: uuid.UUID) -> tuple[list[str], str]:
        """The fields and the reason of its entry."""
        ((fields, reason),) = self.scratch.sql(
            "SELECT fields, reason FROM audit_log WHERE request_id = %s AND phase = 'intent'", claim
        )
        return fields, reason

    def counts(self) -> dict[tuple[str, int], int]:
        """The counts of generations in closed months."""
        return {
            (field, generation): held
            for field, generation, held in self.scratch.sql(
                "SELECT field, id::int, sum(held)::int FROM detached_values"
                " WHERE field LIKE '%%token' AND held <> 0 GROUP BY 1, 2"
            )
        }

    def stored(self) -> list[tuple[Any, ...]]:
        """The token, generations and next token of each row."""
        return self.scratch.sql(
            "SELECT masked_ip, token_generation, next_masked_ip, next_token_generation"  # noqa: S608
            f" FROM vault_etl_detached.{self.month.name} ORDER BY record_id"
        )


def begun_site(scratch: Scratch) -> Site:
    """Next tokens are beside the old tokens, as in a month that was detached during a rotation."""
    vault = ready(scratch)
    with scratch.database("admin") as database:
        partitions = PostgresPartitions(database, 5.0)
        partitions.detach(
            AuditRequest(
                request_id=uuid.uuid4(),
                action=Action.PARTITIONS_DETACH,
                actor="a",
                host="h",
                reason="r",
            ),
            choose(partitions.partitions(), name_of(0)),
        )
    vault.swap()
    run = uuid.uuid4()
    append_committed(scratch, "re-encrypt", action="partitions retoken", request_id=run)
    with scratch.database("re-encrypt") as database:
        months = PostgresDetachedMonths(database, DEFAULT)
        month = months.find(name_of(0))
        begun = months.begin(rotate_request(), month, 2, again=False)
        assert months.generations(month) == {1: 2}
    return Site(vault, month, run, begun.rotation_id)
