"""Calls of AWS and Postgres are timed, and failures are counted by their code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.ingest.metrics.reports import samples, value
from tests.kit.call_observer import Told
from tests.kit.databases import clone
from tests.kit.declarations import DEFAULT
from tests.kit.declared import USER_LOGINS
from tests.kit.proxy import FaultProxy, Judge, closed_port
from tests.kit.scratch import Scratch
from vault_etl.base.errors import (
    ConfigurationError,
    DeniedError,
    UnavailableError,
    UsageError,
    VaultEtlError,
)
from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.aws_errors import translated
from vault_etl.platform.postgres import Database
from vault_etl.records.messages import RecordRange
from vault_etl.records.postgres import PostgresRecordLoader

pytestmark = pytest.mark.command

CANARY = "203.0.113.77"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Point AWS's settings at an address."""

    def point(url: str) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    return point


def verdicts(*answers: bool | str | bytes) -> Judge:
    """Return each of these in turn."""
    left = iter(answers)
    return lambda _: next(left)


def unwrap(clients: AwsClients) -> None:
    """Make one call of KMS."""
    with translated("KMS"):
        clients.kms().decrypt(CiphertextBlob=b"x")


def test_a_call_of_aws_is_timed(aws: Callable[[str], None]) -> None:
    """Every client reports service and operation, once a call."""
    told = Told()
    with FaultProxy("", verdicts(b"{}", b"{}", b"{}")) as proxy:
        aws(proxy.url)
        clients = AwsClients(told)
        unwrap(clients)
        clients.sqs_receiver(1).receive_message(QueueUrl=f"{proxy.url}/queue")
        clients.sqs().get_queue_attributes(QueueUrl=f"{proxy.url}/queue")
    assert told.calls == [
        ("kms", "Decrypt"),
        ("sqs", "ReceiveMessage"),
        ("sqs", "GetQueueAttributes"),
    ]
    assert told.failures == []
    assert told.seconds > 0


def test_a_failed_try_before_a_good_one_is_counted(aws: Callable[[str], None]) -> None:
    """Throttled once, then answered: one call, one failure."""
    told = Told()
    with FaultProxy("", verdicts("ThrottlingException", b"{}")) as proxy:
        aws(proxy.url)
        unwrap(AwsClients(told))
    assert told.calls == [("kms", "Decrypt")]
    assert told.failures == [("kms", "Decrypt", "ThrottlingException")]


def test_a_refusal_is_counted_once(aws: Callable[[str], None]) -> None:
    """A denied call is one call and one failure, with AWS's code."""
    told = Told()
    with FaultProxy("", verdicts("AccessDeniedException")) as proxy:
        aws(proxy.url)
        with pytest.raises(DeniedError):
            unwrap(AwsClients(told))
    assert told.calls == [("kms", "Decrypt")]
    assert told.failures == [("kms", "Decrypt", "AccessDeniedException")]


def test_each_try_without_an_answer_is_counted(aws: Callable[[str], None]) -> None:
    """The class of the exception is the code; a receive is tried once."""
    told = Told()
    with FaultProxy("", lambda _: False) as proxy:
        aws(proxy.url)
        clients = AwsClients(told)
        with pytest.raises(UnavailableError):
            unwrap(clients)
        with pytest.raises(UnavailableError), translated("SQS"):
            clients.sqs_receiver(1).receive_message(QueueUrl=f"{proxy.url}/queue")
    assert told.calls == [("kms", "Decrypt"), ("sqs", "ReceiveMessage")]
    assert told.failures == [
        *3 * [("kms", "Decrypt", "ConnectionClosedError")],
        ("sqs", "ReceiveMessage", "ConnectionClosedError"),
    ]


def test_a_call_that_fails_before_it_is_sent_is_counted(
    aws: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials no request is sent, and the failure counts too."""
    told = Told()
    aws("http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError):
        unwrap(AwsClients(told))
    assert told.calls == [("kms", "Decrypt")]
    assert told.failures == [("kms", "Decrypt", "NoCredentialsError")]


@pytest.fixture(scope="module")
def scratch(postgres: Any) -> Iterator[Scratch]:  # noqa: ANN401 - as `clone` takes it
    """A migrated database of this file."""
    with clone(postgres) as made:
        yield made


def test_a_transaction_is_timed_by_its_name(scratch: Scratch) -> None:
    """The connection is timed once, then the statements and the commit of each transaction."""
    told = Told()
    with closing(Database(scratch.url("ingest"), told)) as database:
        with database.transaction("first") as cursor:
            cursor.execute("SELECT pg_sleep(0.05)")
        with database.transaction() as cursor:
            cursor.execute("SELECT 1")
    assert [operation for service, operation in told.calls if service == "postgres"] == [
        "connect",
        "first",
        "commit",
        "transaction",
        "commit",
    ]
    assert told.failures == []
    assert told.seconds > 0.05


def test_the_loader_names_its_transactions(scratch: Scratch) -> None:
    """A batch is a `load`, as docs/metrics.md says."""
    told = Told()
    with closing(Database(scratch.url("ingest"), told)) as database:
        ranges = PostgresRecordLoader(database, DEFAULT).prepare_partitions()
    assert all(isinstance(found, RecordRange) for found in ranges)
    assert {operation for _, operation in told.calls} == {
        "connect",
        "partition",
        "call",
        "ranges",
        "commit",
    }


def test_a_refused_statement_is_counted_by_its_class(scratch: Scratch) -> None:
    """22P02 counts as 22, under the transaction's name, and nothing is committed."""
    told = Told()
    with closing(Database(scratch.url("ingest"), told)) as database:
        with pytest.raises(VaultEtlError), database.transaction("cast") as cursor:
            cursor.execute("SELECT %s::uuid", (CANARY,))
        with pytest.raises(UsageError), database.transaction("ours"):
            raise UsageError("an error of ours is not one of Postgres's")
    assert told.calls == [("postgres", name) for name in ("connect", "cast", "ours")]
    assert told.failures == [("postgres", "cast", "22")]


def test_a_connection_that_fails_is_counted(scratch: Scratch) -> None:
    """A server that is unavailable, or lost, counts by the class of the error, or of its SQLSTATE."""
    told = Told()
    away = Database(f"postgresql://someone@127.0.0.1:{closed_port()}/x", told)
    with pytest.raises(UnavailableError), away.transaction("never"):
        pass
    assert told.calls == [("postgres", "connect")]
    assert told.failures == [("postgres", "connect", "NotConnectedError")]
    lost = Told()
    with closing(Database(scratch.url("ingest"), lost)) as database:
        with pytest.raises(UnavailableError), database.transaction("cut") as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        with database.transaction("again") as cursor:
            cursor.execute("SELECT 1")
    ((_, operation, code),) = lost.failures
    assert operation == "cut"
    assert code in {"57", "OperationalError"}  # libpq tells the SQLSTATE if it has read it
    assert lost.calls.count(("postgres", "connect")) == 2


def test_no_value_reaches_the_metrics(aws: Callable[[str], None], scratch: Scratch) -> None:
    """Errors of Postgres and AWS may quote a value, in a text or in place of a code: no value is served."""
    metrics = PrometheusMetrics([USER_LOGINS])
    with closing(Database(scratch.url("ingest"), metrics)) as database:
        for statement in ("SELECT %s::uuid", "SELECT 1 / length(%s) - 1 / 0", "SELECT %s FROM x"):
            with pytest.raises(VaultEtlError), database.transaction() as cursor:
                cursor.execute(statement, (CANARY,))
    codes = (CANARY, f"Failed.{CANARY}", "572-03-1848", "AccessDeniedException")
    with FaultProxy("", verdicts(*codes)) as proxy:
        aws(proxy.url)
        for _ in codes:
            with pytest.raises(VaultEtlError):
                unwrap(AwsClients(metrics))
    body = metrics.exposition("")[0]
    assert CANARY.encode() not in body
    assert b"572-03-1848" not in body
    found = samples(body)
    kms = {"service": "kms", "operation": "Decrypt"}
    assert value(found, "call_errors_total", **kms, code="AccessDeniedException") == 1
    assert value(found, "call_errors_total", **kms, code="other") == 3
    assert value(found, "call_errors_total", service="postgres", operation="transaction", code="22")
