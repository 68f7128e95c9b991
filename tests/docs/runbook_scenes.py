"""The symptoms of the sections of docs/operations/runbooks.md, each made on a vault."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from tests.kit.databases import database_copy
from tests.kit.doctor import NOWHERE
from tests.kit.events import event, events
from tests.kit.kms_keys import disabled
from tests.kit.months import month_start
from tests.kit.processes import finish, start
from tests.kit.vault import Vault
from tests.kit.waiting import until

LOGINS: Final = {"worker": "test_ingest", "alice_reveal": "test_reveal"}

Scene = Callable[[Vault], AbstractContextManager[Vault]]


def old_month() -> str:
    """Return a month that may still be made, for the one of the page."""
    return f"{month_start(-20):%Y-%m}"


def retired(vault: Vault) -> str:
    """Return the id of a token key that is retired."""
    ((key_id,),) = vault.sql(
        "SELECT min(key_id) FROM data_keys WHERE purpose = 'token' AND state = 'decrypt_only'"
    )
    return str(key_id)


@contextmanager
def _empty(site: Vault) -> Iterator[Vault]:
    """A database in which nothing is yet, and a message in the queue."""
    with database_copy(site.server, "template1") as database:
        site.send([event()])
        yield dataclasses.replace(site, database=database)


@contextmanager
def _set(site: Vault, **settings: str) -> Iterator[Vault]:
    """Settings of every command."""
    yield dataclasses.replace(site, overrides={**site.overrides, **settings})


@contextmanager
def _working(site: Vault) -> Iterator[Vault]:
    """A worker that ends well when it is told to."""
    worker = start(site, "ingest", "ingest", "--follow")
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vault-etl ingest'"
    try:
        until(lambda: site.sql(sessions) != [(0,)])
        yield site
    finally:
        worker.terminate()
        result = finish(worker)
    assert result.code == 0, result.stderr


def _sent(*bodies: str) -> Scene:
    """Messages in the queue."""

    @contextmanager
    def scene(site: Vault) -> Iterator[Vault]:
        site.send(bodies)
        yield site

    return scene


def _ingested(*bodies: str, **settings: str) -> Scene:
    """Messages that were ingested with these settings."""

    @contextmanager
    def scene(site: Vault) -> Iterator[Vault]:
        site.send(bodies)
        site.ok("ingest", "ingest", extra=settings)
        yield site

    return scene


@contextmanager
def _dead_letters(site: Vault) -> Iterator[Vault]:
    """A message among the dead letters."""
    site.emulator.client("sqs").send_message(
        QueueUrl=site.provisioned.dead_letter_url, MessageBody=event()
    )
    yield site


@contextmanager
def _old_keys(site: Vault) -> Iterator[Vault]:
    """Keys that are older than both limits."""
    site.grow_older(dt.timedelta(days=400))
    yield site
    site.grow_older(dt.timedelta(days=-400))


@contextmanager
def _unfinished(site: Vault) -> Iterator[Vault]:
    """A rotation of token keys that a disabled KMS key ended two days ago; later its old tokens are removed."""
    with disabled(site, "data"):
        assert site.run("re-encrypt", "keys", "rotate", "--tokens", "--yes").code == 77
    site.sql("UPDATE key_rotations SET began_at = began_at - interval '2 days'")
    yield site
    site.ok("re-encrypt", "keys", "destroy", retired(site), "--yes")


@contextmanager
def _unsigned(site: Vault) -> Iterator[Vault]:
    """An entry that was not signed for two days."""
    change = (
        "SET session_replication_role = replica; UPDATE audit_log"
        " SET logged_at = logged_at - %s WHERE seq = %s"
    )
    site.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    ((seq,),) = site.sql("SELECT max(seq) FROM audit_log")
    site.sql(change, dt.timedelta(days=2), seq)
    yield site
    site.sql(change, dt.timedelta(days=-2), seq)


@contextmanager
def _without_a_month(site: Vault) -> Iterator[Vault]:
    """The month after the next has no partition."""
    month = dt.datetime.now(dt.UTC).replace(day=1) + dt.timedelta(days=62)
    site.sql(f"DROP TABLE vault_etl.user_logins_{month:%Y_%m}")
    yield site


@contextmanager
def _tampered(site: Vault) -> Iterator[Vault]:
    """An entry of the log that the owner of the server changed."""
    change = "SET session_replication_role = replica; UPDATE audit_log SET reason = %s WHERE seq = 2 RETURNING 1"
    ((reason,),) = site.sql("SELECT reason FROM audit_log WHERE seq = 2")
    site.sql(change, "another")
    try:
        yield site
    finally:
        site.sql(change, reason)


@contextmanager
def _lockable(site: Vault) -> Iterator[Vault]:
    """Logins that are as before afterwards: other tests of this process need them."""
    try:
        yield site
    finally:
        for login in LOGINS.values():
            password = site.server.passwords.of(login)
            site.sql(f"ALTER ROLE {login} LOGIN PASSWORD %s", password)


@contextmanager
def _without_data_key(site: Vault) -> Iterator[Vault]:
    """The KMS key of data keys is disabled."""
    with disabled(site, "data"):
        yield site


@contextmanager
def _old_month(site: Vault) -> Iterator[Vault]:
    """A month of the past, and a folder for its archive."""
    site.ok("owner", "partitions", "ensure", old_month())
    (site.home / "archives").mkdir()
    yield site


SCENES: Final[Mapping[str, Scene]] = {
    "Install": _empty,
    "Upgrade with workers running": _working,
    "Ingest does not run": _sent(*events(3)),
    "Ingest is not ready": lambda site: _set(site, AWS_ENDPOINT_URL_SQS=NOWHERE),
    "Lag grows": _sent(*events(3)),
    "Nothing is received": lambda site: _set(site, VAULT_ETL_QUEUE_URL=f"{NOWHERE}/1/other"),
    "Messages near the dead-letter queue": _dead_letters,
    "Quarantine grows": _ingested("not json"),
    "Fields are dropped": _ingested(event(email="a@example.org"), VAULT_ETL_STRICT="true"),
    "A call is denied": lambda site: _set(site, **site.access_key("audit")),
    "A key is overdue": _old_keys,
    "A rotation is unfinished": _unfinished,
    "Rotate a password of the database": _lockable,
    "The log is not signed": _unsigned,
    "The log does not verify": _tampered,
    "A reveal credential leaked": _lockable,
    "A worker was compromised": _lockable,
    "A KMS key is lost": _without_data_key,
    "A month has no partition": _without_a_month,
    "A month to the archive": _old_month,
}
"""Sections whose symptom is made before their commands run."""
