"""An ingest process has exited. Somebody has all that it had, and a full dump, and opens by hand."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidTag

from tests.attacks.least_privilege.by_hand import (
    StolenKey,
    address_behind,
    key_id_of,
    kms_of,
    open_value,
    unwrap,
)
from tests.kit.events import event
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from vault_etl.local.postgres_server import find_postgres_binaries

USER, ADDRESS, DEVICE = "user-1", "198.18.77.203", "593-47-5928"
pytestmark = pytest.mark.iam

RANGE = "198.18.0.0/16"


@dataclass(frozen=True, slots=True)
class Loot:
    """The thief's loot: the worker's environment (access key, database URL), and the dump."""

    environment: dict[str, str]
    record: uuid.UUID
    token: uuid.UUID
    sealed: dict[str, bytes]
    keys: dict[int, StolenKey]


@pytest.fixture(scope="module")
def loot(shared_vault: Vault) -> Loot:
    """One event, ingested by the real command, which has exited; then a pg_dump of everything."""
    shared_vault.send([event(user_id=USER, ip=ADDRESS, device_id=DEVICE)])
    shared_vault.ok("ingest", "ingest")
    stolen = _restored(shared_vault, _dump(shared_vault))
    ((record, token, ip, device_id),) = stolen.sql(
        "SELECT record_id, masked_ip, ip_ciphertext, device_id_ciphertext FROM vault_etl.user_logins"
    )
    keys = stolen.sql("SELECT key_id, purpose, field, kms_key_arn, wrapped_key FROM data_keys")
    return Loot(
        shared_vault.environment("ingest"),
        record,
        token,
        {"ip": bytes(ip), "device_id": bytes(device_id)},
        {
            key_id: StolenKey(key_id, purpose, field, arn, bytes(wrapped))
            for key_id, purpose, field, arn, wrapped in keys
        },
    )


@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_values_that_ingest_sealed_are_closed_to_the_thief_of_all_it_had(
    loot: Loot, field: str
) -> None:
    """KMS refuses ingest's access key the data key, whichever way it is asked."""
    kms = kms_of(loot.environment)
    key = loot.keys[key_id_of(loot.sealed[field])]
    thief: dict[str, Any] = {"CiphertextBlob": key.wrapped}
    attempts: list[Callable[[], object]] = [
        lambda: unwrap(kms, key),
        lambda: kms.decrypt(**thief, EncryptionContext=key.context),  # no KeyId: KMS finds it
        lambda: kms.decrypt(**thief, EncryptionContext=key.context | {"purpose": "token"}),
        lambda: kms.decrypt(**thief),
        lambda: kms.re_encrypt(
            **thief,
            SourceEncryptionContext=key.context,
            DestinationKeyId=key.arn,
            DestinationEncryptionContext=key.context,
        ),
        lambda: kms.create_grant(KeyId=key.arn, GranteePrincipal="*", Operations=["Decrypt"]),
    ]
    for attempt in attempts:
        with pytest.raises(ClientError) as refused:
            attempt()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize(("field", "value"), [("ip", ADDRESS), ("device_id", DEVICE)])
def test_reveals_access_key_opens_the_same_bytes(
    shared_vault: Vault, loot: Loot, field: str, value: str
) -> None:
    """The same code under reveal's access key opens them: it was KMS alone that said no."""
    sealed = loot.sealed[field]
    key = unwrap(kms_of(shared_vault.environment("reveal")), loot.keys[key_id_of(sealed)])
    assert open_value(sealed, key, field=field, record=loot.record, user=USER) == value


@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_a_data_key_that_ingest_makes_now_opens_nothing_old(loot: Loot, field: str) -> None:
    """Ingest may make data keys, under any context of its own: none of them is the old one."""
    kms, sealed = kms_of(loot.environment), loot.sealed[field]
    old = loot.keys[key_id_of(sealed)]
    made = kms.generate_data_key(KeyId=old.arn, NumberOfBytes=32, EncryptionContext=old.context)
    with pytest.raises(InvalidTag):
        open_value(sealed, made["Plaintext"], field=field, record=loot.record, user=USER)


@pytest.mark.parametrize("column", ["ip_ciphertext", "masked_ip", "user_id", "*"])
def test_the_workers_database_login_does_not_read_rows(loot: Loot, column: str) -> None:
    """Without a dump there is nothing to open or to guess: ingest's login reads no value of a row."""
    with (
        connect(loot.environment["VAULT_ETL_DATABASE_URL"]) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(f"SELECT {column} FROM vault_etl.user_logins")  # noqa: S608 - as listed
    connection.close()


def test_tokens_are_reversed_with_the_token_key_as_documented(loot: Loot) -> None:
    """With ingest's access key and a row, its IPv4 token is reversed by trying: docs/threat-model.md."""
    (token_key,) = (
        key for key in loot.keys.values() if (key.purpose, key.field) == ("token", "ip")
    )
    opened = unwrap(kms_of(loot.environment), token_key)
    addresses = ipaddress.IPv4Network(RANGE)
    assert address_behind(loot.token, opened, addresses) == ADDRESS
    assert address_behind(loot.token, bytes(32), addresses) is None


def _dump(vault: Vault) -> bytes:
    """Everything that the database holds, as a backup has it."""
    return _program("pg_dump", vault.database_url("admin"))


def _restored(vault: Vault, dump: bytes) -> Vault:
    """The dump in the thief's own database, as its superuser."""
    name = f"{vault.database}_stolen"
    vault.sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
    stolen = Vault(vault.server, name, vault.endpoint, vault.provisioned, vault.home)
    _program("psql", "-q", "-v", "ON_ERROR_STOP=1", stolen.database_url("admin"), given=dump)
    return stolen


def _program(name: str, *args: str, given: bytes | None = None) -> bytes:
    program = find_postgres_binaries().bin / name
    done = subprocess.run(
        [program, *args],
        input=given,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    return done.stdout
