"""For `doctor`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from vault_etl.app.audit import AuditProgram
from vault_etl.app.keys import KeysProgram
from vault_etl.app.migrate import MigrateProgram
from vault_etl.audit.checkpoints import SigningKey
from vault_etl.crypto.fields import ROTATED, KeyPurpose
from vault_etl.doctor.checks import audit as audit_checks
from vault_etl.doctor.checks import aws as aws_checks
from vault_etl.doctor.checks import database as database_checks
from vault_etl.doctor.checks import keys as key_checks
from vault_etl.doctor.checks import logins as login_checks
from vault_etl.doctor.checks import replica as replica_checks
from vault_etl.doctor.checks import server_log
from vault_etl.doctor.checks import transport as transport_checks
from vault_etl.doctor.doctor import Check, Finding, Verdict, diagnose
from vault_etl.doctor.kms import KmsKeyDescriber
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url
from vault_etl.platform.aws import RECEIVE_MARGIN_S
from vault_etl.platform.postgres_passwords import secret_of
from vault_etl.platform.replica import SETTING as READ_SETTING

_COUNTERS: Final = ("rotate", "re_encrypt", "audit")
"""Roles that may know how many values there are under a key."""


class DoctorProgram(AuditProgram, KeysProgram, MigrateProgram):
    """The checks of `doctor`, each built when it looks: if that fails, the check does."""

    def doctor(self, *, deep: bool = False) -> Iterator[Finding]:
        """For `doctor`. What a check needs is built when it looks: if that fails, the check does."""
        checks = [*self._settings_checks(), *self._aws_checks(), *self._database_checks()]
        return diagnose([*checks, *(self._deep_checks() if deep else ())])

    def _acts_as(self, *roles: str) -> Callable[[], bool]:
        """Whether the database's login has one of these roles, of which each has rights to match."""

        def look() -> bool:
            rights = PostgresFacts(self._database).rights()
            return not rights.superuser and any(
                f"vault_etl_{role}" in rights.roles for role in roles
            )

        return look

    def _settings_checks(self) -> Iterable[Check]:
        yield Check("settings", self._check_settings)

    def _check_settings(self) -> Verdict:
        self._settings.need_database_url()
        if self._settings.queue_url is None:
            return Verdict.good("complete but for VAULT_ETL_QUEUE_URL, which `ingest` needs")
        return Verdict.good("complete")

    def _aws_checks(self) -> Iterable[Check]:
        settings, kms_key = self._settings, self._kms_key

        def queue(url: str) -> SqsQueue:
            return SqsQueue(self._aws.sqs(), self._aws.sqs(), url)

        def look_at_queue() -> Verdict:
            if settings.queue_url is None:
                return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
            dead = functools.partial(dead_letter_queue_url, self._aws.sqs(), settings.queue_url)
            longest = max(settings.follow_wait, settings.drain_wait) + RECEIVE_MARGIN_S
            return aws_checks.queue(queue(settings.queue_url), lambda: queue(dead()), longest)

        def credentials() -> Verdict:
            return Verdict.good(f"there are credentials, for {self._aws.region()}")

        def identity() -> Verdict:
            return aws_checks.identity(self.identity())

        def endpoints() -> Verdict:
            secret = secret_of(settings.database_password or "")
            return transport_checks.aws_endpoints(
                self._aws.endpoints(secret), is_key_of_aws=self._aws.is_key_of_aws()
            )

        wraps, signs, needs = aws_checks.WRAPS, aws_checks.SIGNS, ("aws_credentials",)
        seal = self._acts_as("ingest", "reveal", "rotate", "re_encrypt")
        sign = self._acts_as("reveal", "rotate", "re_encrypt", "erase", "audit")
        yield Check("aws_credentials", credentials)
        yield Check("aws_identity", identity, needs, lambda: True)
        yield Check("aws_endpoints", endpoints, needs, lambda: True)
        yield Check("kms_data_key", lambda: kms_key(settings.data_key, wraps), needs, seal)
        yield Check("kms_token_key", lambda: kms_key(settings.token_key, wraps), needs, seal)
        yield Check("kms_audit_key", lambda: kms_key(settings.audit_key, signs), needs, sign)
        yield Check("queue", look_at_queue, needs, self._acts_as("ingest"))

    def _kms_key(self, name: str, kind: aws_checks.Kind) -> Verdict:
        return aws_checks.kms_key(KmsKeyDescriber(self._aws.kms()), name, kind)

    def _archive_key_check(self) -> Check:
        """For a login that archives, or that has the setting. Others need no such key."""
        owner = self._acts_as("owner")

        def archives() -> bool:
            return "archive_key" in self._settings.model_fields_set or owner()

        def look() -> Verdict:
            if not archives():
                return Verdict.unknown("not visible to this role")
            return self._kms_key(self._settings.archive_key, aws_checks.SIGNS)

        return Check("kms_archive_key", look, ("aws_credentials", "postgres"), archives)

    def _database_checks(self) -> Iterable[Check]:
        def facts() -> PostgresFacts:
            return PostgresFacts(self._database)

        def transport() -> Verdict:
            return transport_checks.postgres_tls(facts(), self.identity)

        def migrations() -> Sequence[Verdict]:
            pending = self.migrations().pending()
            return database_checks.migrations({p.migration.name: p.is_online for p in pending})

        def schema() -> Sequence[Verdict]:
            pending = self.migrations().pending()
            return database_checks.schema(self.schema_differences(pending))

        def trusted() -> Verdict:
            return key_checks.trusted(facts(), self._trusted)

        def contexts() -> Verdict:
            return key_checks.contexts(self._keys, self._unwrapper())

        def generations() -> Verdict:
            return key_checks.token_generations(facts(), every_row=False)

        needs = ("migrations",)
        aliases = () if self._settings.trusted_key_arns else ("kms_data_key", "kms_token_key")
        keys = self._acts_as("ingest", "reveal", "rotate", "re_encrypt", "audit")
        opens = self._acts_as("ingest", "reveal", "re_encrypt")
        yield Check(
            "postgres", lambda: database_checks.server(facts()), ("settings",), lambda: True
        )
        yield Check("postgres_tls", transport, ("postgres",), lambda: True)
        yield Check("postgres_log", lambda: server_log.values(facts()), ("postgres",), lambda: True)
        yield Check("migrations", migrations, ("postgres",), lambda: True)
        yield Check("schema", schema, needs, lambda: True)
        yield Check("replication_slots", lambda: replica_checks.slots(facts()), needs)
        yield from self._replica_checks(("postgres",))
        yield from self._login_checks(facts, needs)
        yield Check("partitions", lambda: database_checks.partitions(facts()), needs)
        yield self._archive_key_check()
        yield Check("fence", lambda: database_checks.fence(facts()), needs)
        yield Check("token_keys", lambda: key_checks.token_keys(self._keys), needs, keys)
        yield Check("pending_token_keys", lambda: key_checks.pending(self._keys), needs, keys)
        yield Check("token_generations", generations, needs, self._acts_as(*_COUNTERS))
        yield Check("key_changes", lambda: key_checks.changes(self._keys), needs, keys)
        for purpose in ROTATED:
            look = functools.partial(self._check_age, purpose)
            yield Check(f"{purpose}_key_age", look, needs, keys)
        yield Check("trusted_keys", trusted, (*needs, *aliases), keys)
        yield Check("kms_contexts", contexts, ("token_keys", "kms_token_key"), opens)
        yield Check("audit_turn", lambda: audit_checks.turn(facts()), needs, self._acts_as("audit"))

        def signing_key() -> SigningKey:
            return self._public_key.signing_key()

        key, audits = (*needs, "kms_audit_key"), self._acts_as("audit")
        yield Check("audit_key", lambda: audit_checks.registered(facts(), signing_key), key, audits)
        yield Check("audit_log", lambda: audit_checks.signed(facts(), signing_key), key, audits)

    def _replica_checks(self, needs: tuple[str, ...]) -> Iterable[Check]:
        """If one is set."""
        if self._settings.read_url is None:
            return

        def transport() -> Verdict:
            return transport_checks.postgres_tls(
                PostgresFacts(self._replica), self.identity, READ_SETTING
            )

        def replica() -> Verdict:
            return replica_checks.replica(self._replica_facts())

        yield Check("replica", replica, needs, lambda: True)
        yield Check("replica_tls", transport, ("replica",), lambda: True)

    def _deep_checks(self) -> Iterable[Check]:
        """What reads all records."""

        def generations() -> Verdict:
            return key_checks.token_generations(PostgresFacts(self._reads), every_row=True)

        def counts() -> Verdict:
            return key_checks.counts(PostgresFacts(self._reads))

        counters = self._acts_as(*_COUNTERS)
        yield Check("every_token", generations, ("migrations",), counters)
        yield Check("value_counts", counts, ("migrations",), counters)

    def _login_checks(
        self, facts: Callable[[], PostgresFacts], needs: tuple[str, ...]
    ) -> Iterable[Check]:
        def separation() -> Verdict:
            return login_checks.separation(facts(), self.identity)

        def members() -> Sequence[Verdict]:
            return login_checks.members(facts(), self.identity)

        yield Check("roles", lambda: login_checks.roles(facts()), needs)
        yield Check("separation", separation, needs)
        yield Check("members", members, needs)

    def _check_age(self, purpose: KeyPurpose) -> Verdict:
        return key_checks.age(self.key_age(purpose))
