"""Leaks that stock libraries have, each shown to be there and then shown not to come through."""

from __future__ import annotations

import base64
import dataclasses
import logging
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.attacks.leaks.search import found
from tests.kit.declared import IP
from tests.kit.events import event
from tests.kit.vault import Vault
from vault_etl import settings
from vault_etl.base import logs
from vault_etl.base.errors import ConfigurationError, VaultEtlError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import encryption_context
from vault_etl.platform.postgres import Database

pytestmark = pytest.mark.command

VALUE = "203.0.113.77"
DEBUG_EVERYTHING = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"


def test_a_refused_row_is_not_quoted(vault: Vault) -> None:
    """`str(psycopg2.Error)` quotes the row that a constraint refuses; ingest quarantines it and quotes nothing."""
    vault.sql("ALTER TABLE user_logins ADD CONSTRAINT odd CHECK (user_id <> %s)", VALUE)
    with pytest.raises(psycopg2.Error, match=f"Failing row contains .*{VALUE}"):
        vault.sql(
            "INSERT INTO user_logins (record_id, user_id, device_type, create_date)"
            " VALUES (%s, %s, 'ios', now())",
            str(uuid.UUID(int=1)),
            VALUE,
        )
    vault.send([event(user_id=VALUE), event()])
    done = vault.ok("ingest", "ingest", "--verbose")
    assert (done.json["stored"], done.json["quarantined"]) == (1, 1)
    assert vault.sql("SELECT reason_code, path FROM quarantine") == [("refused_by_database", "$")]
    assert found([VALUE], (done.stdout + done.stderr).encode()) == set()
    assert found([VALUE], vault.server.log.read_bytes()) == set()


def test_a_bad_cast_is_not_quoted(vault: Vault) -> None:
    """A cast that fails quotes its value even in `message_primary`; our error names the SQLSTATE alone."""
    query = "SELECT %s::uuid"
    with (
        closing(psycopg2.connect(vault.database_url("analyst"))) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.Error) as stock,
    ):
        cursor.execute(query, (VALUE,))
    assert VALUE in str(stock.value.diag.message_primary)
    database = Database(vault.database_url("analyst"))
    with pytest.raises(VaultEtlError) as ours, database.transaction() as cursor:
        cursor.execute(query, (VALUE,))
    database.close()
    assert "22P02" in str(ours.value)
    assert VALUE not in "".join(traceback.format_exception(ours.value))
    assert VALUE.encode() not in vault.server.log.read_bytes()


def test_the_text_of_an_error_is_not_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The standard library prints the text of an error; ours names the error's class."""
    for log_format in (None, "text", "json"):
        assert VALUE not in logged(capsys, log_format)
    fail(logging.getLogger("stock").error)
    assert VALUE in caplog.text


def test_a_wrong_setting_is_not_kept_in_its_error() -> None:
    """Python's error quotes its input; ours neither says nor prints it."""
    with pytest.raises(ValueError, match=VALUE):
        int(VALUE)
    with pytest.raises(ConfigurationError) as ours:
        settings.load({"VAULT_ETL_BATCH_SIZE": VALUE})
    assert VALUE not in "".join(traceback.format_exception(ours.value))
    assert VALUE not in repr(ours.value.__context__)
    assert VALUE not in str(ours.value.__context__)


def test_a_malformed_url_keeps_its_password() -> None:
    """psycopg2's error quotes the password of a malformed URL; ours does not."""
    url = f"postgresql://someone:{VALUE}%zz@127.0.0.1/x"
    with pytest.raises(psycopg2.Error, match=VALUE):
        psycopg2.connect(url)
    with pytest.raises(ConfigurationError) as ours:
        Database(url)
    assert VALUE not in "".join(traceback.format_exception(ours.value))


def test_the_settings_print_without_the_url() -> None:
    """The settings, printed by accident, show no password."""
    loaded, _ = settings.load({"VAULT_ETL_DATABASE_URL": f"postgresql://someone:{VALUE}@db/x"})
    assert VALUE not in f"{loaded!r} {loaded} {dataclasses.asdict(loaded)}"


def test_debug_logs_show_no_data_key(vault: Vault, tmp_path: Path) -> None:
    """Botocore at DEBUG prints plaintext data keys; not even a site that turns DEBUG on gets them from us."""
    (tmp_path / "sitecustomize.py").write_text(DEBUG_EVERYTHING, encoding="utf-8")
    debug = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    vault.send([event(), "not json"])
    done = vault.ok("ingest", "ingest", "--verbose", extra=debug)
    keys = [opened(vault, key_id) for key_id in key_ids(vault)]
    assert len(keys) == 3
    printed = done.stdout + done.stderr
    for key in keys:
        assert base64.b64encode(key).decode() not in printed
        assert key.hex() not in printed
        assert repr(key)[2:-1] not in printed

    stock = (
        "import boto3; made = boto3.client('kms').generate_data_key("
        "KeyId='alias/vault-etl-data', NumberOfBytes=32, EncryptionContext="
        f"{encryption_context(KeyPurpose.DATA, IP, 1)!r}); import base64;"
        " print(base64.b64encode(made['Plaintext']).decode())"
    )
    leaky = subprocess.run(
        [sys.executable, "-c", stock],
        env={**vault.environment("ingest"), **debug, "AWS_DEFAULT_REGION": "us-east-1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert leaky.stdout.strip() in leaky.stderr


def key_ids(vault: Vault) -> list[int]:
    """The ids of the data keys."""
    return [
        key_id for (key_id,) in vault.sql("SELECT key_id FROM data_keys WHERE purpose = 'data'")
    ]


def opened(vault: Vault, key_id: int) -> bytes:
    """A data key in plaintext."""
    ((field, arn, wrapped),) = vault.sql(
        "SELECT field, kms_key_arn, wrapped_key FROM data_keys WHERE key_id = %s", key_id
    )
    context = encryption_context(KeyPurpose.DATA, FieldName(field), key_id)
    plaintext: bytes = vault.emulator.client("kms").decrypt(
        KeyId=arn, CiphertextBlob=bytes(wrapped), EncryptionContext=context
    )["Plaintext"]
    return plaintext


def logged(capsys: pytest.CaptureFixture[str], log_format: object) -> str:
    """Return the text that our logger writes of a failure."""
    logs.configure(log_format, verbose=True, quiet=False)  # type: ignore[arg-type]
    fail(lambda event, error: logs.get_logger().error(event, error=error))
    text = capsys.readouterr().err
    assert "ValueError" in text
    return text


def fail(log: Callable[[str, ValueError], None]) -> None:
    """Log an exception whose text, and whose frame, hold a value."""
    address = VALUE
    try:
        int(address)
    except ValueError as error:
        log("it failed: %s", error)
