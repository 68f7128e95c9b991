"""For `status`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from vault_etl.app.doctor import DoctorProgram
from vault_etl.crypto.fields import ROTATED
from vault_etl.doctor.checks import audit as audit_checks
from vault_etl.doctor.checks import database as database_checks
from vault_etl.doctor.checks import replica as replica_checks
from vault_etl.doctor.checks import status as status_checks
from vault_etl.doctor.doctor import Check, Finding, Verdict, diagnose
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.doctor.postgres_status import PostgresStatus
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url


class StatusProgram(DoctorProgram):
    """The sections of `status`, each built when it looks: if one fails, the others show."""

    def status(self) -> Iterator[Finding]:
        """For `status`."""
        return diagnose([*self._queue_sections(), *self._database_sections()])

    def _queue_sections(self) -> Iterable[Check]:
        url = self._settings.queue_url

        def gauge(of: str) -> SqsQueue:
            return SqsQueue(self._aws.sqs(), self._aws.sqs(), of)

        def queue() -> Verdict:
            if url is None:
                return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
            return status_checks.queue(gauge(url))

        def dead_letters() -> Verdict:
            if url is None:
                return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
            return status_checks.dead_letters(
                lambda: gauge(dead_letter_queue_url(self._aws.sqs(), url))
            )

        ought, shown = self._acts_as("ingest", "audit"), "vault-etl-audit"
        yield Check("queue", queue, ought=ought, shown_to=shown)
        yield Check("dead_letters", dead_letters, ought=ought, shown_to=shown)

    def _database_sections(self) -> Iterable[Check]:
        def facts() -> PostgresStatus:
            return PostgresStatus(self._database)

        def server() -> PostgresFacts:
            return PostgresFacts(self._database)

        def signed() -> Verdict:
            return audit_checks.signed(server(), self._public_key.signing_key)

        def replica() -> Verdict:
            return replica_checks.replica(self._replica_facts())

        now = self._clock.now()

        def section(name: str, look: Callable[[], Verdict]) -> Check:
            """For the role audit, which sees every section, and for others as far as they may."""
            return Check(name, look, ("postgres",), self._acts_as("audit"), "vault_etl_audit")

        yield Check("postgres", lambda: database_checks.server(server()), ought=lambda: True)
        if self._settings.read_url is not None:
            yield Check("replica", replica, ("postgres",), lambda: True)
        yield section("commits", lambda: status_checks.commits(facts()))
        yield section("lag", lambda: status_checks.lag(facts()))
        yield section("workers", lambda: status_checks.workers(facts(), now))
        yield section("quarantine", lambda: status_checks.quarantined(facts(), now))
        for purpose in ROTATED:
            yield section(f"{purpose}_key_age", functools.partial(self._check_age, purpose))
        yield section("rotation", lambda: status_checks.rotation(facts(), now))
        yield section("audit_log", signed)
        yield section("partitions", lambda: database_checks.partitions(server()))
