"""`vault-etl doctor` on Postgres: the server, the way to it, migrations, partitions and the fence."""

from __future__ import annotations

from tests.kit.doctor import (
    DATABASE,
    SECRET,
    lines,
    only,
    wrong,
)
from tests.kit.proxy import closed_port
from tests.kit.vault import Vault


def test_a_weaker_sslmode_than_verify_full_is_reported(loaded: Vault) -> None:
    """The check covers every host of libpq and every source of the setting; in an emulator it warns."""
    url = loaded.environment("ingest")["VAULT_ETL_DATABASE_URL"]
    port = f":{loaded.server.port}/"
    two = url.replace(port, f"{port[:-1]},192.0.2.1{port}") + "?sslmode=prefer"
    found = lines(loaded, "ingest", code=0, extra={"VAULT_ETL_DATABASE_URL": two})
    assert found["postgres_tls"]["detail"].startswith("warning: sslmode=prefer to 192.0.2.1")
    assert lines(loaded, "ingest", code=0)["postgres_tls"]["detail"] == "on this machine"


def test_a_log_with_the_values_of_statements_is_a_fault(bare_vault: Vault) -> None:
    """The hint is the setting that leaves them out, with which statements may be logged."""
    for setting in ("log_statement = 'all'", "log_parameter_max_length_on_error = '1kB'"):
        bare_vault.sql(f'ALTER DATABASE "{bare_vault.database}" SET {setting}')
    faults = wrong(bare_vault, "analyst")
    assert set(faults) == {"postgres_log"}
    assert "log_statement, log_parameter" in faults["postgres_log"]["detail"]
    hint = faults["postgres_log"]["hint"]
    for setting in ("log_parameter_max_length = 0", "log_parameter_max_length_on_error = 0"):
        assert setting in hint
        bare_vault.sql(f'ALTER DATABASE "{bare_vault.database}" SET {setting}')
    lines(bare_vault, "analyst", code=0)


def test_an_outage_of_postgres_is_one_fault(loaded: Vault) -> None:
    """The checks of AWS run nevertheless, and no password is shown."""
    url = f"postgresql://somebody:{SECRET}@127.0.0.1:{closed_port()}/x"
    result = loaded.run("ingest", "doctor", extra={"VAULT_ETL_DATABASE_URL": url})
    assert SECRET not in result.stdout + result.stderr
    found = lines(loaded, "ingest", code=78, extra={"VAULT_ETL_DATABASE_URL": url})
    assert [name for name, line in found.items() if line["ok"] is False] == ["postgres"]
    assert {found[name]["detail"] for name in DATABASE[1:]} == {"needs postgres"}
    assert found["kms_token_key"]["ok"] is True


def test_a_wrong_password_is_a_fault_of_postgres(loaded: Vault) -> None:
    """A wrong password is not a missing right of this role."""
    right = loaded.server.passwords.of("test_ingest")
    url = loaded.database_url("ingest").replace(right, SECRET)
    assert "refuses this login" in only(
        loaded, "ingest", "postgres", {"VAULT_ETL_DATABASE_URL": url}
    )


def test_a_database_that_is_not_utf8_is_refused(loaded: Vault) -> None:
    """COPY sends UTF-8."""
    loaded.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        url = loaded.server.url("admin", "ascii")
        said = only(loaded, "admin", "postgres", {"VAULT_ETL_DATABASE_URL": url})
    finally:
        loaded.sql("DROP DATABASE ascii")
    assert "SQL_ASCII" in said


def test_a_pending_migration_is_named_and_later_checks_are_not_run(bare_vault: Vault) -> None:
    """Checks that rest on the tables are not run."""
    ((last,),) = bare_vault.sql(
        "DELETE FROM vault_etl.migrations WHERE name ="
        " (SELECT max(name) FROM vault_etl.migrations) RETURNING name"
    )
    assert last in only(bare_vault, "audit", "migrations")
    found = lines(bare_vault, "audit", code=78)
    rest = set(DATABASE[5:]) - {"kms_archive_key", "kms_permissions", "roles"}
    assert {found[name]["detail"] for name in rest} == {"needs migrations"}


def test_a_month_without_a_partition_is_named(vault: Vault) -> None:
    """Detached is as good as gone."""
    ((month,),) = vault.sql(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')"
    )
    vault.sql(f"ALTER TABLE vault_etl.user_logins DETACH PARTITION vault_etl.user_logins_{month}")
    found = wrong(vault, "analyst")
    assert set(found) == {"partitions", "schema"}
    assert month.replace("_", "-") in found["partitions"]["detail"]
    assert f"detached partition user_logins_{month}" in found["schema"]["detail"]


def test_a_row_in_the_fence_is_found(vault: Vault) -> None:
    """A role that may not read the table finds the row as well."""
    vault.sql("ALTER TABLE vault_etl.key_fence DROP CONSTRAINT key_fence_check")
    vault.sql("INSERT INTO vault_etl.key_fence VALUES (true)")
    found = wrong(vault, "analyst")
    assert set(found) == {"fence", "schema"}
    assert "key_fence is not empty" in found["fence"]["detail"]
