"""What holds for every test: nothing of this user's AWS or vault-etl settings reaches one."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.vault import ROLES, Vault
from vault_etl.local.emulator import Emulator, EmulatorName
from vault_etl.local.localstack import install_localstack, start_localstack
from vault_etl.local.moto import start_moto
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.provision import Provisioned, provision
from vault_etl.local.unprivileged import give_away
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

OURS = ("AWS_", "VAULT_ETL_")
TEMPLATE = "vault_template"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system of Linux, and a folder of our own in it
NEEDED = 2 * 2**30
"""Bytes, of all test processes together."""
ONCE = {
    "erase": "Postgres alone forgets; a value that is looked for is opened as a reveal opens it",
    "fuzz": "the parsers alone",
    "outages": "about us, and mostly waits",
    "rotation": "about rows, locks and kills; what KMS is asked is in cli/test_rotation.py",
    "unit": "without a network",
    "vectors": "bytes alone",
    "year": "what Postgres holds; each command has its tests of what KMS is asked",
    "workers": "about us, and mostly waits",
    "audit/test_concurrent.py": "about the end of the log, which is Postgres's",
    "audit/test_injection.py": "what is typed is cleaned, stored and shown without AWS",
    "audit/test_policy.py": "the database decides, before KMS is asked",
    "audit/test_transcripts.py": "in what form entries are printed",
    "cli/test_bug.py": "the bugs are Postgres's",
    "cli/test_config.py": "nothing is asked",
    "cli/test_duplicates.py": "Postgres alone is asked, and a test there holds it to that",
    "cli/test_forked.py": "how the tests start a command",
    "cli/test_help.py": "nothing is asked",
    "cli/test_output.py": "in what form it is printed, whatever was opened",
    "cli/test_passwords.py": "Postgres is asked; of AWS it is IAM that matters, and LocalStack's free edition has none",
    "cli/test_quarantine.py": "what is listed and shown; what KMS opens is in cli/test_quarantine_retry.py",
    "cli/test_settings.py": "ends before AWS is asked",
    "cli/test_signals.py": "about us, and mostly waits",
    "cli/test_usage.py": "ends before AWS is asked",
    "find/test_enumeration.py": "what SQL says to a reader, without KMS",
    "sources/test_confirming_guesses.py": "about ids and digests, which Postgres holds",
    "sources/test_loading_lines.py": "about lines, which are no messages",
    "sources/test_named_sources.py": "about digests, which Postgres holds",
    "tampering/test_bytes.py": "the key is in memory, and no changed byte gets to KMS",
    "tampering/test_moved.py": "the key opens, and what it is asked to open is not its own",
    "tampering/test_padding.py": "the key opens, and what is behind it has no padding of ours",
}
"""Folders and files whose tests say nothing of the emulator, and why: the first half alone runs them."""
FIRST = (
    "outages/test_long_outages.py",
    "year/",
    "least_privilege/test_deployed_template.py",
    "embedded/test_stack.py",
    "outages/",
    "rotation/",
    "chaos/",
    "cli/test_unavailable.py",
    "embedded/",
    "key_life/",
    "packaging/",
    "workers/",
)
"""What takes longest, in its order: what begins last is short, so that all test processes end together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the emulator behind the fixture `vault`."""
    parser.addoption(
        "--emulator", choices=[*EmulatorName], default=EmulatorName.MOTO, help="AWS, emulated by"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long comes `FIRST`.

    On LocalStack, what works with an emulator at all, but for what asks it to enforce policies.
    """
    items.sort(key=lambda item: _turn(item.path))
    if not _is_second_half(config):
        return
    fit = {
        item
        for item in items
        if ("moto" in getattr(item, "fixturenames", ()) or item.get_closest_marker("emulator"))
        and not item.get_closest_marker("iam")
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in fit])
    items[:] = [item for item in items if item in fit]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On LocalStack, `ONCE` is not even read."""
    return True if _is_second_half(config) and _name(collection_path) in ONCE else None


def _is_second_half(config: pytest.Config) -> bool:
    return bool(config.getoption("--emulator") == EmulatorName.LOCALSTACK)


@functools.cache
def _turn(path: Path) -> int:
    """The place of a file in `FIRST`; the others follow in the order of their names."""
    name = _name(path)
    places = (place for place, first in enumerate(FIRST) if name.startswith(first))
    return next(places, len(FIRST))


def _name(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


def pytest_configure(config: pytest.Config) -> None:
    """Forget the caller's settings, in this process and in those that it starts.

    A profile or an endpoint in a developer's shell would point the tests at a real account.
    """
    del config
    # A shell's background job ignores Ctrl-C, and what it starts would too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="session")
def quick_place() -> Iterator[Path]:
    """Where the files of the tests' databases are: in memory, if there is room.

    Each test's database is 450 files, made and deleted thousands of times. ext4 does not give the
    place of a deleted file away at once, and looks at all of them for each new one: that was a third
    of the time of all tests.
    """
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED
    place = Path(tempfile.mkdtemp(prefix="vault-etl-", dir=MEMORY if is_roomy else None))
    give_away(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, quick_place: Path
) -> Iterator[RunningPostgres]:
    """A PostgreSQL server of this test process, with a login a role."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    try:
        running = embedded.start()
        with admin(running, "postgres") as cursor:
            cursor.execute(f"CREATE TABLESPACE quick LOCATION '{quick_place}'")
            cursor.execute(f'CREATE DATABASE "{TEMPLATE}" TABLESPACE quick')
        _migrate(running, TEMPLATE)
        with admin(running, TEMPLATE) as cursor:
            for role in ROLES:
                name = role.replace("-", "_")
                password = running.passwords.of(f"test_{name}")
                cursor.execute(f"CREATE ROLE test_{name} LOGIN PASSWORD %s", (password,))
                cursor.execute(f"GRANT vault_etl_{name} TO test_{name}")
        yield running
    finally:
        embedded.destroy()


@pytest.fixture(scope="session")
def moto(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Provisioned]]:
    """A moto server of this test process: its endpoint, and what was made in it.

    With `--emulator localstack` it is a LocalStack, which enforces no IAM policy.
    """
    if request.config.getoption("--emulator") == EmulatorName.LOCALSTACK:
        endpoint = request.getfixturevalue("localstack").endpoint
        yield endpoint, provision(endpoint, authenticate=False)
        return
    emulator = start_moto(tmp_path_factory.mktemp("moto"))
    try:
        yield emulator.endpoint, provision(emulator.endpoint)
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A real LocalStack of this test process. Its environment is made once, inside ours."""
    shared = Path(sys.prefix) / "localstack"
    shared.mkdir(exist_ok=True)
    own = tmp_path_factory.mktemp("localstack")
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_localstack(shared)
    (own / "venv").symlink_to(shared / "venv")
    shutil.copy(shared / "requirements.sha256", own)
    emulator = start_localstack(own, lambda _: None)
    try:
        yield emulator
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def signed(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A migrated database whose audit key is registered, to be copied: no session may stay in it."""
    template = Vault(postgres, TEMPLATE, *moto, tmp_path_factory.mktemp("signed"))
    with copied(template, template.home) as vault:
        vault.register_audit_key()
        yield vault


@pytest.fixture(scope="session")
def keyed(signed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """It has token keys too, made by the real command, and is to be copied."""
    with copied(signed, tmp_path_factory.mktemp("keyed")) as vault:
        vault.ok("re-encrypt", "keys", "init")
        yield vault


@pytest.fixture
def bare_vault(signed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A migrated database whose audit key is registered, and an empty queue, without token keys."""
    with copied(signed, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture
def vault(keyed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with token keys and an empty queue, ready for `ingest`."""
    with copied(keyed, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@contextmanager
def copied(template: Vault, home: Path) -> Iterator[Vault]:
    """A copy of a vault's database, which is dropped afterwards."""
    with database_copy(template.server, template.database) as database:
        overrides = dict(template.overrides)
        yield dataclasses.replace(template, database=database, home=home, overrides=overrides)


@contextmanager
def database_copy(server: RunningPostgres, template: str) -> Iterator[str]:
    """The name of a copy, with the rights and settings of the database itself too. It is dropped afterwards."""
    name = f"copy_{uuid.uuid4().hex[:12]}"
    with admin(server, "postgres") as cursor:
        # Without fsync, two thirds of the time that a copy through the log takes.
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        if template not in {"template0", "template1"}:  # whose own rights no new database has
            cursor.execute(
                "UPDATE pg_database SET datacl = t.datacl FROM pg_database AS t"
                " WHERE pg_database.datname = %s AND t.datname = %s",
                (name, template),
            )
            cursor.execute(
                "INSERT INTO pg_db_role_setting SELECT d.oid, s.setrole, s.setconfig"
                " FROM pg_database AS d, pg_db_role_setting AS s JOIN pg_database AS t"
                " ON t.oid = s.setdatabase WHERE d.datname = %s AND t.datname = %s",
                (name, template),
            )
    try:
        yield name
    finally:
        with admin(server, "postgres") as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def admin(server: RunningPostgres, database: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor of the superuser; every statement is committed."""
    with closing(psycopg2.connect(server.url("admin", database))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def _migrate(server: RunningPostgres, database: str) -> None:
    connection = Database(server.url("admin", database))
    PostgresMigrations(connection, resource_dir("migrations")).apply()
    connection.close()
