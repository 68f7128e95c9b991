"""One vault for all of these tests, put right again after each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import psycopg2.extras
import pytest

from tests.attacks.tampering.site import ALICE, Key, Site, opens, silent
from tests.kit.declared import IP
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.kms import KmsKeyGenerator
from vault_etl.keys.make import make_data_key
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.local.provision import EmulatorSession
from vault_etl.platform.postgres import Database

BODIES = (
    {"user_id": ALICE, "ip": "198.51.100.77", "device_id": "canary-device-1"},
    {"user_id": ALICE, "ip": "198.51.100.78", "device_id": "canary-device-2"},
    {"user_id": "bob", "ip": "198.51.100.79", "device_id": "canary-device-3"},
)
BAD_BODY = "198.51.100.77 is not JSON"
NO_TRIGGERS = "SET session_replication_role = replica"


@pytest.fixture(scope="session")
def whole_site(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A vault with three records and a quarantined body, loaded by the real command."""
    bodies = [json.dumps({"device_type": "ios", **body}) for body in BODIES] + [BAD_BODY]
    with filled_vault(keyed, tmp_path_factory.mktemp("tampering"), bodies) as vault:
        vault.drop_form_checks()
        with closing(connect(vault.database_url("admin"))) as connection:
            connection.autocommit = True
            psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
            yield _site(vault, connection)


@pytest.fixture
def site(whole_site: Site, capfd: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """The vault, whole; afterwards nothing was printed that it holds, and it is whole again."""
    yield whole_site
    silent(*capfd.readouterr())
    whole_site.restore()


def _site(vault: Vault, connection: psycopg2.extensions.connection) -> Site:
    by_user = vault.sql("SELECT record_id FROM user_logins ORDER BY user_id, record_id")
    ((quarantined,),) = vault.sql("SELECT record_id FROM quarantine")
    spare = {state: _spare_key(vault) for state in ("live", "retired", "destroyed")}
    for state in ("retired", "destroyed"):
        key_id = spare[state].key_id
        vault.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s", key_id)
    vault.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s",
        spare["destroyed"].key_id,
    )
    site = Site(vault, connection, [record_id for (record_id,) in by_user], quarantined, spare)
    site.sql(NO_TRIGGERS)
    site.keep()
    assert opens(site, site.records[0], reveal=site.warm)
    return site


def _spare_key(vault: Vault) -> Key:
    """A data key of `ip`, made as ingest makes one."""
    kms = EmulatorSession(vault.endpoint, vault.provisioned.credentials["ingest"]).client("kms")
    names = {purpose: vault.provisioned.key_arns[purpose.kms_key.value] for purpose in KeyPurpose}
    new, _ = make_data_key(KmsKeyGenerator(kms, names), IP)
    database = Database(vault.database_url("ingest"))
    assert PostgresKeyStore(database).add_data_key(new)
    database.close()
    return Key(new.key_id, new.kms_key_arn, new.wrapped_key, new.fingerprint)
