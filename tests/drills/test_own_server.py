"""A server of one's own: it takes TLS alone, with a CA of its own, and goes back to a moment by its archived WAL."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.kit.databases import admin
from tests.kit.pages import documented
from tests.kit.postgres_front import Authority
from tests.kit.processes import fails
from tests.kit.standby import until_yes
from tests.kit.tls_cluster import TlsPostgres, tls_cluster
from tests.kit.vault import Vault, sample_events
from tests.kit.vaults import IMPATIENT, install
from vault_etl.local.postgres import DATABASE, RunningPostgres
from vault_etl.local.postgres_server import PostgresServer
from vault_etl.local.processes import free_port, give_away, run_unprivileged
from vault_etl.local.provision import Provisioned

pytestmark = pytest.mark.system

URL = "VAULT_ETL_DATABASE_URL"
DUPLICATES = ("duplicates", "--field", "ip")
SAMPLES: Final = sample_events()
BEFORE, LOST, WAITING = SAMPLES[:20], SAMPLES[20:30], SAMPLES[30:35]


@pytest.fixture(scope="module")
def tls_postgres(quick_place: Path) -> Iterator[TlsPostgres]:
    """The server, which archives its WAL as docs/operations/backups.md says."""
    (settings,) = documented("operations/backups.md", "ini")
    with tls_cluster(settings, quick_place) as running:
        yield running


@pytest.fixture(scope="module")
def drilled(
    tls_postgres: TlsPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Vault:
    """A vault on it, which each command reaches with `sslmode=verify-full`."""
    home = tmp_path_factory.mktemp("drilled")
    vault = Vault(tls_postgres, DATABASE, *moto, home, dict(IMPATIENT))
    install(vault)
    vault.register_audit_key()
    vault.renew_queue()
    return vault


def test_a_vault_works_over_tls_that_was_verified(drilled: Vault) -> None:
    """The server sees TLS 1.3 in every session of a command."""
    drilled.ok("audit", "doctor")
    seen = "SELECT DISTINCT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl"
    assert drilled.sql(seen) == [("TLSv1.3",)]


def test_a_server_that_is_not_verified_is_refused(
    drilled: Vault, postgres: RunningPostgres, tmp_path: Path
) -> None:
    """Another CA, another host name and a server without TLS are refused, with what to correct."""
    url, other = drilled.database_url("ingest"), Authority(tmp_path / "other")
    assert isinstance(drilled.server, TlsPostgres)
    ours = str(drilled.server.authority.file)
    for wrong, words in (
        (url.replace(ours, str(other.file)), "is of no CA in sslrootcert"),
        (url.replace("@127.0.0.1:", "@localhost:"), "another host name"),
        (url.replace(f":{drilled.server.port}/", f":{postgres.port}/"), "offers no TLS"),
    ):
        result = drilled.run("ingest", "ingest", extra={URL: wrong})
        fails(result, 78, words)
        assert URL in result.stderr


def test_a_client_without_tls_is_refused(drilled: Vault) -> None:
    """The server lets in with TLS alone, and the hint says so."""
    plain = drilled.database_url("ingest").replace("verify-full", "disable")
    refused(drilled, "ingest", plain, "without TLS?")


def test_a_client_certificate_is_a_second_factor_of_a_login(drilled: Vault, tmp_path: Path) -> None:
    """The login of the analyst needs a certificate of the CA in its own name, beside its password."""
    assert isinstance(drilled.server, TlsPostgres)
    ours, other = drilled.server.authority, Authority(tmp_path / "other")
    url = drilled.database_url("analyst")

    def presenting(pair: Path) -> str:
        return f"{url}&sslcert={pair}&sslkey={pair}"

    right = ours.certified("test_analyst")
    drilled.ok("analyst", *DUPLICATES, extra={URL: presenting(right)})
    right.chmod(0o644)
    readable = drilled.run("analyst", *DUPLICATES, extra={URL: presenting(right)})
    fails(readable, 78, "the client certificate")
    refused(drilled, "analyst", url, "client certificate")
    refused(drilled, "analyst", presenting(ours.certified("test_ingest")), "client certificate")
    refused(drilled, "analyst", presenting(other.certified("test_analyst")), "sslcert")


def refused(vault: Vault, role: str, url: str, hint: str) -> None:
    """Assert that the server refuses this login by this URL, and what the hint names."""
    result = vault.run(role, *DUPLICATES, extra={URL: url})
    fails(result, 77, "refuses")
    assert hint in result.stderr


def test_a_vault_goes_back_to_a_moment(drilled: Vault) -> None:
    """What was committed before the moment is there, opens and is proven; what is missing after it is known."""
    _, _, check, backup, restore = documented("operations/backups.md", "sh")
    (login,) = documented("operations/backups.md", "sql")
    drilled.sql(login.replace("…", drilled.server.passwords.of("backup")))
    _run(drilled, backup)
    record_id = _ingest(drilled, BEFORE)
    before = _checkpoint(drilled, record_id, "before.txt")
    ((moment,),) = drilled.sql("SELECT clock_timestamp()::text")

    erased = ("erase", record_id, "--reason", "request 17", "--yes")
    drilled.ok("erase", *erased)
    _ingest(drilled, LOST)
    _reveal(drilled, _newest(drilled))
    after = _checkpoint(drilled, _newest(drilled), "after.txt")
    drilled.send(WAITING)  # ingest is stopped
    drilled.sql("DELETE FROM user_logins")  # the mistake
    with admin(drilled.server, "postgres") as cursor:
        cursor.execute("CREATE TEMPORARY TABLE last AS SELECT pg_walfile_name(pg_switch_wal())")
        until_yes(cursor, "SELECT last_archived_wal >= pg_walfile_name FROM pg_stat_archiver, last")

    with _restored(drilled, restore, moment) as restored:
        restored.ok("admin", "migrate", "--check")
        assert restored.count("user_logins") == len(BEFORE)
        for line in check.splitlines():
            restored.ok("audit", *line.split()[1:])
        restored.ok("audit", "audit", "verify", "--checkpoint", str(before))
        missing = restored.run("audit", "audit", "verify", "--checkpoint", str(after))
        assert missing.code == 65
        assert "after.txt signs entry" in missing.stderr
        assert _reveal(restored, record_id)["ip"] is not None
        restored.ok("erase", *erased)
        assert restored.ok("ingest", "ingest").json["stored"] == len(WAITING)
        again = restored.home / "again.jsonl"
        again.write_text("\n".join(LOST), encoding="utf-8")
        loaded = restored.ok("ingest", "ingest", "--file", str(again)).json
        assert (loaded["stored"], loaded["duplicates"]) == (len(LOST), 0)
        continued = _checkpoint(restored, _newest(restored), "continued.txt")
        for note in (before, continued):
            restored.ok("audit", "audit", "verify", "--checkpoint", str(note))


def _ingest(vault: Vault, bodies: list[str]) -> str:
    """Store these events, and return the id of a record."""
    vault.send(bodies)
    assert vault.ok("ingest", "ingest").json["stored"] == len(bodies)
    return _newest(vault)


def _newest(vault: Vault) -> str:
    """Return the id of the last record."""
    ((record_id,),) = vault.sql("SELECT max(record_id::text) FROM user_logins")
    return str(record_id)


def _reveal(vault: Vault, record_id: str) -> dict[str, str | None]:
    """Return the values of a record by their fields."""
    (shown,) = vault.ok("reveal", "reveal", record_id, "--reason", "an access").lines
    values: dict[str, str | None] = shown["fields"]
    return values


def _checkpoint(vault: Vault, record_id: str, name: str) -> Path:
    """Reveal a record, and keep the signed note."""
    _reveal(vault, record_id)
    note = vault.home / name
    note.write_text(vault.ok("audit", "audit", "checkpoint", "--quiet", "--output", "table").stdout)
    return note


@contextmanager
def _restored(vault: Vault, block: str, moment: str) -> Iterator[Vault]:
    """The vault at a moment, on a server of its own port beside the first."""
    first = vault.server
    assert isinstance(first, TlsPostgres)
    place = first.place / "srv"
    place.mkdir()
    give_away(place)
    port = free_port()
    server = PostgresServer(place, first.binaries)
    steps = block.replace("2026-11-30 12:00:00+00", moment).replace(
        "\nEND\n", f"\nport = {port}\nEND\n"
    )
    try:
        _run(vault, steps.replace("/srv/restored", str(server.data)))
        running = dataclasses.replace(first, port=port)
        with admin(running, "postgres") as cursor:
            until_yes(cursor, "SELECT NOT pg_is_in_recovery()")
        yield dataclasses.replace(vault, server=running)
    finally:
        if server.is_running():
            server.stop()


def _run(vault: Vault, block: str) -> None:
    """Run a block of the page as the user of the server."""
    server = vault.server
    assert isinstance(server, TlsPostgres)
    path = os.pathsep.join([str(server.binaries.bin), os.defpath])
    steps = block.replace("/backup", f"{server.place}/backup")
    url = server.url("backup", "postgres")
    done = run_unprivileged(
        ["/usr/bin/env", f"PATH={path}", f"BACKUP_URL={url}", "/bin/sh", "-euc", steps],
        home=server.place,
    )
    assert done.returncode == 0, done.stderr
