"""Doctor: the checks of `doctor`, each built when it runs, so that a failure to build is its finding."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from vault_etl.app import catalogue, key_ring, keys, migrate
from vault_etl.app.audit import public_key
from vault_etl.app.parts import Parts
from vault_etl.audit.signing import SigningKey
from vault_etl.crypto.fields import ROTATED, KeyPurpose
from vault_etl.declaration.document import digest_of
from vault_etl.doctor import audit as audit_checks
from vault_etl.doctor import aws as aws_checks
from vault_etl.doctor import database as database_checks
from vault_etl.doctor import declaration as declaration_checks
from vault_etl.doctor import keys as key_checks
from vault_etl.doctor import logins as login_checks
from vault_etl.doctor import permissions as permission_checks
from vault_etl.doctor import server as server_checks
from vault_etl.doctor.diagnose import Check, Finding, Verdict, diagnose
from vault_etl.doctor.kms_trial import KmsTrial
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url
from vault_etl.platform.aws import RECEIVE_MARGIN_S
from vault_etl.platform.names import ROLES
from vault_etl.platform.postgres_passwords import secret_of
from vault_etl.platform.replica import SETTING as READ_SETTING

_COUNTERS: Final = ("rotate", "re_encrypt", "audit")
"""The roles that may count the values under a key."""


def doctor(parts: Parts, *, deep: bool = False) -> Iterator[Finding]:
    """Run `doctor`: the findings, one after the other. Their hints have the names of this vault."""
    checks = [*_settings_checks(parts), *_aws_checks(parts), *_database_checks(parts)]
    for found in diagnose([*checks, *(_deep_checks(parts) if deep else ())]):
        verdict = found.verdict
        hint = verdict.hint and parts.names.put_into(verdict.hint)
        yield Finding(found.check, dataclasses.replace(verdict, hint=hint))


def acts_as(parts: Parts, *roles: str) -> Callable[[], bool]:
    """Make a function that tells if the database's login has one of these roles. A superuser has none of them."""

    def acts() -> bool:
        rights = PostgresFacts(parts.database).rights()
        return not rights.superuser and any(role in rights.roles for role in roles)

    return acts


def _settings_checks(parts: Parts) -> Iterable[Check]:
    yield Check("settings", lambda: _check_settings(parts))


def _check_settings(parts: Parts) -> Verdict:
    parts.settings.need_database_url()
    if parts.settings.queue_url is None:
        return Verdict.good("complete except VAULT_ETL_QUEUE_URL, which `ingest` needs")
    return Verdict.good("complete")


def _aws_checks(parts: Parts) -> Iterable[Check]:
    settings = parts.settings

    def kms_key(name: str, required: aws_checks.KeyRequirement) -> Verdict:
        return _kms_key(parts, name, required)

    def queue(url: str) -> SqsQueue:
        return SqsQueue.of(parts.aws, url, 0, lean=False)

    def check_queue() -> Verdict:
        if settings.queue_url is None:
            return Verdict.unknown("VAULT_ETL_QUEUE_URL is not set")
        dead = functools.partial(dead_letter_queue_url, parts.aws.sqs(), settings.queue_url)
        longest = max(settings.follow_wait, settings.drain_wait) + RECEIVE_MARGIN_S
        return aws_checks.queue(queue(settings.queue_url), lambda: queue(dead()), longest)

    def credentials() -> Verdict:
        return Verdict.good(f"there are credentials, for {parts.aws.region()}")

    def identity() -> Verdict:
        return aws_checks.identity(parts.identity)

    def endpoints() -> Verdict:
        secret = secret_of(settings.database_password or "")
        return aws_checks.endpoints(
            parts.aws.endpoints(secret), is_key_of_aws=parts.aws.is_key_of_aws()
        )

    wraps, signs, needs = aws_checks.WRAPS, aws_checks.SIGNS, ("aws_credentials",)
    seal = acts_as(parts, "ingest", "reveal", "rotate", "re_encrypt")
    sign = acts_as(parts, "reveal", "rotate", "re_encrypt", "erase", "audit")
    yield Check("aws_credentials", credentials)
    yield Check("aws_identity", identity, needs, lambda: True)
    yield Check("aws_endpoints", endpoints, needs, lambda: True)
    yield Check("kms_data_key", lambda: kms_key(settings.data_key, wraps), needs, seal)
    yield Check("kms_token_key", lambda: kms_key(settings.token_key, wraps), needs, seal)
    yield Check("kms_audit_key", lambda: kms_key(settings.audit_key, signs), needs, sign)
    yield Check("queue", check_queue, needs, acts_as(parts, "ingest"))


def _kms_key(parts: Parts, name: str, required: aws_checks.KeyRequirement) -> Verdict:
    return aws_checks.kms_key(aws_checks.describe_key(parts.aws.kms(), name), name, required)


def _archive_key_check(parts: Parts) -> Check:
    """The check for a login that archives, or that has the setting. Other logins need no such key."""
    owner = acts_as(parts, "owner")

    def archives() -> bool:
        return "archive_key" in parts.settings.given or owner()

    def check() -> Verdict:
        if not archives():
            return Verdict.unknown("not visible to this role")
        return _kms_key(parts, parts.settings.archive_key, aws_checks.SIGNS)

    return Check("kms_archive_key", check, ("aws_credentials", "postgres"), archives)


def _database_checks(parts: Parts) -> Iterable[Check]:
    def facts() -> PostgresFacts:
        return PostgresFacts(parts.database)

    def transport() -> Verdict:
        return server_checks.postgres_tls(facts().transport(), lambda: parts.identity)

    def migrations() -> Sequence[Verdict]:
        pending = migrate.migrations(parts).pending()
        return database_checks.migrations({p.migration.name: p.is_online for p in pending})

    def schema() -> Sequence[Verdict]:
        pending = migrate.migrations(parts).pending()
        return database_checks.schema(migrate.schema_differences(parts, pending))

    def trusted() -> Verdict:
        return key_checks.trusted(facts().wrappings(), parts.trusted_keys.trusts)

    def contexts() -> Verdict:
        return key_checks.contexts(key_ring.key_store(parts), key_ring.unwrapper(parts))

    def generations() -> Verdict:
        return key_checks.token_generations(
            facts().token_generations(every_row=False), every_row=False
        )

    needs = ("migrations",)
    aliases = () if parts.settings.trusted_key_arns else ("kms_data_key", "kms_token_key")
    holders = acts_as(parts, "ingest", "reveal", "rotate", "re_encrypt", "audit")
    opens = acts_as(parts, "ingest", "reveal", "re_encrypt")
    yield Check(
        "postgres", lambda: server_checks.server(facts().server()), ("settings",), lambda: True
    )
    yield Check("postgres_tls", transport, ("postgres",), lambda: True)
    yield Check(
        "postgres_log",
        lambda: server_checks.logged_values(facts().log_settings()),
        ("postgres",),
        lambda: True,
    )
    yield Check(
        "declaration", lambda: _check_declaration(parts), ("postgres",), acts_as(parts, *ROLES)
    )
    yield Check("migrations", migrations, ("postgres", "declaration"), acts_as(parts, *ROLES))
    yield Check("schema", schema, needs, lambda: True)
    yield Check("replication_slots", lambda: server_checks.slots(facts().slots()), needs)
    yield from _replica_checks(parts, ("postgres",))
    yield from _login_checks(parts, facts, needs)
    yield Check(
        "partitions",
        lambda: database_checks.partitions(facts(), parts.declaration.active_events),
        needs,
    )
    yield _archive_key_check(parts)
    yield Check("fence", lambda: database_checks.fence(facts().fence_bytes()), needs)
    yield Check(
        "token_keys",
        lambda: key_checks.token_keys(key_ring.key_store(parts), parts.declaration.field_names),
        needs,
        holders,
    )
    yield Check(
        "pending_token_keys", lambda: key_checks.pending(key_ring.key_store(parts)), needs, holders
    )
    yield Check("token_generations", generations, needs, acts_as(parts, *_COUNTERS))
    yield Check(
        "key_changes", lambda: key_checks.changes(key_ring.key_store(parts)), needs, holders
    )
    for purpose in ROTATED:
        check = functools.partial(check_age, parts, purpose)
        yield Check(f"{purpose}_key_age", check, needs, holders)
    yield Check("trusted_keys", trusted, (*needs, *aliases), holders)
    yield Check("kms_contexts", contexts, ("token_keys", "kms_token_key"), opens)
    # Before the declaration is in force too: a new field is deployed to IAM first.
    asked = ("postgres", "kms_data_key", "kms_token_key")
    yield Check("kms_permissions", lambda: _check_permissions(parts), asked, opens)
    yield Check(
        "audit_turn", lambda: audit_checks.turn(facts().turn()), needs, acts_as(parts, "audit")
    )

    def signing_key() -> SigningKey:
        return public_key(parts).signing_key()

    key, audits = (*needs, "kms_audit_key"), acts_as(parts, "audit")
    yield Check("audit_key", lambda: audit_checks.registered(facts(), signing_key), key, audits)
    yield Check("audit_log", lambda: audit_checks.signed(facts(), signing_key), key, audits)


def _check_permissions(parts: Parts) -> Verdict:
    rights = PostgresFacts(parts.database).rights()
    roles = () if rights.superuser else rights.roles
    trial = KmsTrial(parts.aws.kms(), parts.kms_keys)
    return permission_checks.permissions(roles, parts.declaration.field_names, trial)


def _check_declaration(parts: Parts) -> Sequence[Verdict]:
    found = catalogue.in_force(parts)
    if found is None:
        return [Verdict.good("none is in force yet: `vault-etl migrate` records the first")]
    return declaration_checks.declaration(
        digest_of(parts.declaration),
        found.version,
        found.digest,
        found.admits,
        lambda: [str(step) for step in catalogue.online_steps(parts, parts.declaration)],
    )


def _replica_checks(parts: Parts, needs: tuple[str, ...]) -> Iterable[Check]:
    """The checks of the replica, if one is set."""
    if parts.settings.read_url is None:
        return

    def transport() -> Verdict:
        return server_checks.postgres_tls(
            PostgresFacts(parts.replica).transport(), lambda: parts.identity, READ_SETTING
        )

    def replica() -> Verdict:
        return server_checks.replica(parts.replica_facts())

    yield Check("replica", replica, needs, lambda: True)
    yield Check("replica_tls", transport, ("replica",), lambda: True)


def _deep_checks(parts: Parts) -> Iterable[Check]:
    """The checks of `--deep`, which read all records."""

    def generations() -> Verdict:
        return key_checks.token_generations(
            PostgresFacts(parts.reads).token_generations(every_row=True), every_row=True
        )

    def counts() -> Verdict:
        return key_checks.counts(PostgresFacts(parts.reads).miscounted())

    counters = acts_as(parts, *_COUNTERS)
    yield Check("every_token", generations, ("migrations",), counters)
    yield Check("value_counts", counts, ("migrations",), counters)


def _login_checks(
    parts: Parts, facts: Callable[[], PostgresFacts], needs: tuple[str, ...]
) -> Iterable[Check]:
    def separation() -> Verdict:
        return login_checks.separation(
            facts().rights(), facts().mixed_logins(), lambda: parts.identity
        )

    def members() -> Sequence[Verdict]:
        return login_checks.members(
            facts().odd_members(), facts().other_vaults(), lambda: parts.identity
        )

    yield Check("roles", lambda: login_checks.roles(facts().rights()), ("postgres",))
    yield Check("separation", separation, needs)
    yield Check("members", members, needs)


def check_age(parts: Parts, purpose: KeyPurpose) -> Verdict:
    """The age of the keys of a purpose, against its limit."""
    return key_checks.age(keys.age(parts, purpose))
