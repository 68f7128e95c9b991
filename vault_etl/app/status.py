"""Status: the sections of `status`, each built when it runs, so that a failure hides no other section."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from vault_etl.app.audit import public_key
from vault_etl.app.doctor import acts_as, check_age
from vault_etl.app.parts import Parts
from vault_etl.crypto.fields import ROTATED
from vault_etl.doctor import audit as audit_checks
from vault_etl.doctor import database as database_checks
from vault_etl.doctor import server as server_checks
from vault_etl.doctor import status as status_checks
from vault_etl.doctor.diagnose import Check, Finding, Verdict, diagnose
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url

if TYPE_CHECKING:
    from vault_etl.doctor.prometheus import ServedStatus


def status(parts: Parts) -> Iterator[Finding]:
    """Run `status`: the findings, one for each section."""
    return diagnose([*_queue_sections(parts), *_database_sections(parts)])


def served(parts: Parts, address: str) -> ServedStatus:
    """Serve the sections (`status --metrics-address`): `show` takes the findings of each read."""
    from vault_etl.doctor.prometheus import ServedStatus  # noqa: PLC0415 - 45 ms

    return ServedStatus(address, parts.clock.now)


def _queue_sections(parts: Parts) -> Iterable[Check]:
    url = parts.settings.queue_url

    def gauge(of: str) -> SqsQueue:
        return SqsQueue.of(parts.aws, of, 0, lean=False)

    def queue() -> Verdict:
        if url is None:
            return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
        return status_checks.queue(gauge(url))

    def dead_letters() -> Verdict:
        if url is None:
            return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
        return status_checks.dead_letters(
            lambda: gauge(dead_letter_queue_url(parts.aws.sqs(), url))
        )

    must_see, shown = acts_as(parts, "ingest", "audit"), "vault-etl-audit"
    yield Check("queue", queue, must_see=must_see, shown_to=shown)
    yield Check("dead_letters", dead_letters, must_see=must_see, shown_to=shown)


def _database_sections(parts: Parts) -> Iterable[Check]:
    def facts() -> PostgresFacts:
        return PostgresFacts(parts.database)

    def signed() -> Verdict:
        return audit_checks.signed(facts(), public_key(parts).signing_key)

    def replica() -> Verdict:
        return server_checks.replica(parts.replica_facts())

    now = parts.clock.now()

    def section(name: str, run: Callable[[], Verdict]) -> Check:
        """A section that the role audit sees, and other roles as far as their rights go."""
        return Check(
            name,
            run,
            ("postgres",),
            acts_as(parts, "audit"),
            parts.names.put_into("vault_etl_audit"),
        )

    yield Check("postgres", lambda: server_checks.server(facts().server()), must_see=lambda: True)
    if parts.settings.read_url is not None:
        yield Check("replica", replica, ("postgres",), lambda: True)
    yield section("commits", lambda: status_checks.commits(facts().commits()))
    yield section("lag", lambda: status_checks.lag(facts().commits()))
    yield section("workers", lambda: status_checks.workers(facts().sessions(), now))
    yield section("quarantine", lambda: status_checks.quarantined(facts().quarantined_lately(now)))
    for purpose in ROTATED:
        yield section(f"{purpose}_key_age", functools.partial(check_age, parts, purpose))
    yield section("rotation", lambda: status_checks.rotation(facts().rotations(), now))
    yield section("audit_log", signed)
    yield section(
        "partitions",
        lambda: database_checks.partitions(facts(), parts.declaration.active_events),
    )
