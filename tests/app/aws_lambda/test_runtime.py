"""The handler under Lambda's own runtime interface client, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.app.aws_lambda.calls import ADDRESS, DOCUMENTED, delivered, failures
from tests.app.aws_lambda.runtime_api import Posted, RuntimeApi
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault

pytestmark = pytest.mark.system

HANDLER = "vault_etl.aws_lambda.handler"
SESSIONS = """
SELECT pid, backend_start FROM pg_stat_activity
WHERE usename = 'test_ingest' AND datname = current_database() ORDER BY pid
"""


@contextmanager
def running(
    vault: Vault, handler: str = HANDLER, **extra: str
) -> Iterator[tuple[RuntimeApi, subprocess.Popen[str]]]:
    """Run the client with the environment of the role ingest, which Lambda's own variables join."""
    with RuntimeApi() as api:
        own = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "vault-etl-ingest",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            env={**vault.environment("ingest"), **own, **extra},
            cwd=vault.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield api, process
        finally:
            process.kill()
            process.communicate()


def answered(posted: Posted) -> list[str]:
    """The failures of an invocation that the client reports as answered."""
    assert posted.path.endswith("/response"), posted
    return failures(posted.body)


def test_a_poison_message_fails_alone_and_the_next_call_has_the_same_connection(
    vault: Vault,
) -> None:
    """One of the batch has no record id. A warm process keeps its session of Postgres and its data keys."""
    batch = delivered(vault, [login_event().decode(), "junk", login_event().decode()])
    poison = batch["Records"][2]
    del poison["attributes"]["SentTimestamp"]
    second = delivered(vault, [login_event().decode()])
    with running(vault) as (api, _):
        assert answered(api.invoke(batch)) == [poison["messageId"]]
        assert (vault.count("user_logins"), vault.count("quarantine")) == (1, 1)
        kept = vault.sql(SESSIONS), vault.count("data_keys")
        assert len(kept[0]) == 1
        assert answered(api.invoke(second)) == []
        assert (vault.sql(SESSIONS), vault.count("data_keys")) == kept
    assert vault.count("user_logins") == 2


def test_a_batch_of_which_nothing_was_committed_is_an_error_without_values(vault: Vault) -> None:
    """The client reports the error to Lambda and writes it to the log: neither shows a value of the message."""
    event = delivered(vault, [login_event(ip=ADDRESS).decode()])
    nowhere = "postgresql://worker@127.0.0.1:1/vault_etl"
    with running(vault, VAULT_ETL_DATABASE_URL=nowhere) as (api, process):
        posted = api.invoke(event)
        process.terminate()
        log, _ = process.communicate(timeout=30)
    assert posted.path.endswith("/error")
    assert posted.body["errorType"] == "UnavailableError"
    assert "cannot be reached" in posted.body["errorMessage"]
    assert '"event": "failed"' in log
    assert ADDRESS not in log + json.dumps(posted.body)


def test_a_handler_that_cannot_be_found_is_an_error_of_the_start(vault: Vault) -> None:
    """The client reports it before any invocation, and ends."""
    with running(vault, "vault_etl.aws_lambda.handle") as (api, process):
        posted = api.wait()
        assert process.wait(timeout=30) == 1
    assert posted.path == "init/error"
    assert posted.body["errorType"] == "Runtime.HandlerNotFound"


def test_a_wrong_setting_is_an_error_of_the_call(vault: Vault) -> None:
    """Settings are read at the first call, so the error is reported as one of it, with the name of the setting."""
    with running(vault, VAULT_ETL_QUEUE="x") as (api, _):
        posted = api.invoke(DOCUMENTED)
    assert posted.path.endswith("/error")
    assert posted.body["errorType"] == "ConfigurationError"
    assert "VAULT_ETL_QUEUE" in posted.body["errorMessage"]
