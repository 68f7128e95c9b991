"""Exit 78: a setting, the database or the keys are not ready; the error has the name, and never the value."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.kit.processes import fails
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault

SECRET = "sekret-Wort-4711"
DUPLICATES = ("duplicates", "--field", "ip")
REVEAL = ("reveal", UNKNOWN, "--reason", "x")


@pytest.mark.parametrize(
    ("role", "command", "setting", "value"),
    [
        ("analyst", DUPLICATES, "VAULT_ETL_DATABASE_URL", None),
        ("analyst", DUPLICATES, "VAULT_ETL_DATABASE_URL", ""),
        ("analyst", DUPLICATES, "VAULT_ETL_DATABASE_URL", " "),
        ("analyst", ("migrate",), "VAULT_ETL_DATABASE_URL", None),
        ("reveal", REVEAL, "VAULT_ETL_DATABASE_URL", None),
        ("ingest", ("ingest",), "VAULT_ETL_DATABASE_URL", None),
        ("ingest", ("ingest",), "VAULT_ETL_QUEUE_URL", None),
        ("ingest", ("ingest",), "VAULT_ETL_QUEUE_URL", ""),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else repr(value),
)
def test_a_missing_setting_is_named(
    loaded: Vault, role: str, command: tuple[str, ...], setting: str, value: str | None
) -> None:
    """A setting that is missing or empty is exit 78, and is named."""
    fails(loaded.run(role, *command, extra={setting: value}), 78, f"{setting} is not set")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("QUEUE_URL", f"ftp://{SECRET}/queue"),
        ("QUEUE_URL", f"https://queue/{SECRET} b"),
        ("LOG_FORMAT", SECRET),
        ("METRICS_ADDRESS", SECRET),
        ("METRICS_ADDRESS", ":9464"),
        ("BATCH_SIZE", SECRET),
        ("BATCH_SIZE", "10001"),
        ("LINGER", "-1"),
        ("STRICT", SECRET),
        ("LINGER", "nan"),
        ("DRAIN_WAIT", "21"),
        ("DRAIN_WAIT", "1.5"),
        ("LEASE_HOURS", "25"),
        ("LEASE_SEALS", "9999"),
        *(
            ("DATABASE_SCHEMA", value)
            for value in (
                *("public", "user", "pg_vault", "information_schema", "Vault", "1st", "a" * 32),
                *("vault_detached", "vault_etl_audit", f"a; DROP {SECRET}", f'a"{SECRET}', "a.b"),
            )
        ),
        *(("ROLE_PREFIX", value) for value in ("staging", "pg_a_", "_", f"a{SECRET}_", "a'_")),
    ],
)
def test_a_malformed_setting_is_named_and_not_quoted(
    loaded: Vault, setting: str, value: str
) -> None:
    """Malformed or out of bounds: exit 78, naming the setting and never its value."""
    result = loaded.run("ingest", "ingest", extra={f"VAULT_ETL_{setting}": value})
    fails(result, 78, f"VAULT_ETL_{setting}")
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"postgresql://someone:{SECRET}%zz@127.0.0.1/x",
        f"mysql://someone:{SECRET}@127.0.0.1/x",
        f"postgresql://someone:{SECRET}@127.0.0.1:99999/x",
        f"postgresql://someone:{SECRET}@127.0.0.1/x?no_such_option=1",
        f"postgresql://someone:{SECRET}@127.0.0.1/x?sslmode={SECRET}",
        f"host=127.0.0.1 password={SECRET} port={SECRET}",
        f"service={SECRET}",
    ],
)
def test_a_malformed_database_url_keeps_its_password(loaded: Vault, url: str) -> None:
    """However a URL is malformed, it is exit 78 and its password stays inside."""
    extra: dict[str, str | None] = {"VAULT_ETL_DATABASE_URL": url}
    result = loaded.run("analyst", *DUPLICATES, "--verbose", extra=extra)
    fails(result, 78, "VAULT_ETL_DATABASE_URL is malformed")
    assert SECRET not in result.stderr


@pytest.mark.parametrize("name", ["VAULT_ETL_BATCHSIZE", "VAULT_ETL_", "VAULT_ETL_batch_size"])
def test_an_unknown_setting_is_an_error(loaded: Vault, name: str) -> None:
    """A misspelt variable is named, instead of being ignored."""
    result = loaded.run("analyst", *DUPLICATES, extra={name: SECRET})
    fails(result, 78, f"{name} is not a setting")
    assert SECRET not in result.stderr


def test_variables_that_kubernetes_injects_are_ignored(loaded: Vault) -> None:
    """The variables of a Service that is called vault-etl are not settings."""
    injected = {
        "VAULT_ETL_SERVICE_HOST": "10.0.0.1",
        "VAULT_ETL_SERVICE_PORT": "80",
        "VAULT_ETL_SERVICE_PORT_METRICS": "9000",
        "VAULT_ETL_PORT": "tcp://10.0.0.1:80",
        "VAULT_ETL_PORT_80_TCP": "tcp://10.0.0.1:80",
        "VAULT_ETL_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    loaded.ok("analyst", *DUPLICATES, extra=injected)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"databse_url = '{SECRET}'", "databse_url"),
        (f"batch_size = '{SECRET}'", "VAULT_ETL_BATCH_SIZE"),
        (f"database_url = {SECRET}", "cannot be read"),
        ("database_url = ''", "VAULT_ETL_DATABASE_URL"),
        (f"[section]\nname = '{SECRET}'", "section"),
    ],
)
def test_a_wrong_file_is_named_and_not_quoted(
    loaded: Vault, tmp_path: Path, text: str, names: str
) -> None:
    """An error in a configuration file names the setting and the file, and shows no value."""
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="utf-8")
    extra = {"VAULT_ETL_CONFIG": str(file), "VAULT_ETL_DATABASE_URL": None}
    result = loaded.run("analyst", *DUPLICATES, extra=extra)
    fails(result, 78, names, str(file))
    assert SECRET not in result.stderr


def test_a_file_that_is_not_there_is_told(loaded: Vault) -> None:
    """VAULT_ETL_CONFIG must lead to a file; without it the file in the working directory may be missing."""
    extra: dict[str, str | None] = {"VAULT_ETL_CONFIG": "/no/such/file"}
    fails(loaded.run("analyst", *DUPLICATES, extra=extra), 78, "VAULT_ETL_CONFIG")


def test_an_unknown_database_is_told(loaded: Vault) -> None:
    """A database that the server does not have is a matter of configuration, not of the network."""
    url = loaded.server.url("test_analyst", "no_such_database")
    result = loaded.run("analyst", *DUPLICATES, extra={"VAULT_ETL_DATABASE_URL": url})
    fails(result, 78, "no such database")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("ingest", ("ingest",)),
        ("analyst", DUPLICATES),
        ("re-encrypt", ("keys", "init")),
        ("audit", ("audit", "list")),
        ("admin", ("migrate", "--check")),
    ],
    ids=lambda value: "" if isinstance(value, str) else value[0],
)
def test_a_fresh_database_wants_its_migrations(
    fresh_database: str, loaded: Vault, role: str, command: tuple[str, ...]
) -> None:
    """Before `migrate` every command says so, and `migrate --check` does too."""
    login = "admin" if role == "admin" else f"test_{role.replace('-', '_')}"
    url = loaded.server.url(login, fresh_database)
    result = loaded.run(role, *command, extra={"VAULT_ETL_DATABASE_URL": url})
    fails(result, 78)
    assert "vault-etl migrate" in result.stderr.splitlines()[1]


def test_a_vault_without_token_keys_says_how_to_make_them(bare_vault: Vault) -> None:
    """`ingest` before `keys init`: exit 78, the hint names the command, and no message is touched."""
    bare_vault.send(["{}"])
    result = bare_vault.run("ingest", "ingest")
    fails(result, 78, "no token keys")
    assert "vault-etl keys init" in result.stderr.splitlines()[1]
    assert bare_vault.depth() == (1, 0, 0)


def test_missing_credentials_are_told(loaded: Vault) -> None:
    """The error of missing credentials, or of a profile that does not exist, names AWS's settings."""
    unset: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    unset |= {"AWS_EC2_METADATA_DISABLED": "true"}
    fails(loaded.run("ingest", "ingest", extra=unset), 78, "AWS: no credentials")
    profile: dict[str, str | None] = {"AWS_PROFILE": "no-such-profile"}
    fails(loaded.run("ingest", "ingest", extra=profile), 78, "AWS")


def test_a_garbled_endpoint_is_told(loaded: Vault) -> None:
    """An endpoint that is no URL is a matter of configuration."""
    extra: dict[str, str | None] = {"AWS_ENDPOINT_URL": "garbage"}
    fails(loaded.run("ingest", "ingest", extra=extra), 78, "AWS's settings do not work")


@pytest.fixture(scope="module")
def fresh_database(loaded: Vault) -> str:
    """A database without migrations."""
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    loaded.sql(f'CREATE DATABASE "{name}"')
    return name
