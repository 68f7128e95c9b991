"""The embedded stack in one folder: Postgres, an AWS emulator, and their preparation for use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.declaration.iam_queues import queues_of
from vault_etl.declaration.read import read_declaration
from vault_etl.local.database import create_logins, login_of, refuse_if_keys_are_lost
from vault_etl.local.emulator import REGION, Emulator, EmulatorName, start_localstack, start_moto
from vault_etl.local.policies import ADMIN, ROLES
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.private_files import make_private_directory
from vault_etl.local.processes import RunCommand, run_own_command, stop_recorded
from vault_etl.local.provision import Credentials, EmulatorSession, change_policies, provision
from vault_etl.local.state import StackState, StackStatus, StateFile
from vault_etl.platform.names import ROLE_PREFIX, SCHEMA

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

Notify = Callable[[str], None]

_MADE = (
    "stack.json",
    "postgres.json",
    "passwords.json",
    "postgres",
    "moto",
    "localstack/process.json",
    "localstack/volume",
    "localstack/fs",
    "localstack/tmp",
    "localstack/localstack.log",
)


class EmbeddedStack:
    """A stack whose files are in `directory` (mode 0700).

    `notify` is called before each slow step. `durable=False` turns Postgres' fsync off.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        notify: Notify = lambda _: None,
        run_command: RunCommand = run_own_command,
    ) -> None:
        self.directory = directory.resolve()
        self._notify = notify
        self._run_command = run_command
        self._postgres = EmbeddedPostgres(self.directory, durable=durable)
        self._state = StateFile(self.directory)

    def start(
        self, emulator: EmulatorName | None = None, *, schema_file: str | None = None
    ) -> StackStatus:
        """Start the missing parts of the stack; running parts stay. The default emulator is moto.

        `schema_file` is the absolute path of a declaration without a fault; None is the default. If it has more
        fields or queues than before, the roles may use them from now on. Raises ConfigurationError if the stack
        cannot run here, if it already runs with another emulator or with other fields, or if rows remain that
        were sealed under keys which ended with their emulator.
        """
        declaration = read_declaration(schema_file)
        declared = StackState(
            schema_file=schema_file,
            fields=declaration.field_names,
            queues=tuple(queue.name for queue in queues_of(declaration)),
        )
        self._claim_directory()
        with self._state.locked():
            state = self._usable(self._state.read(), emulator, declared)
            postgres = self._postgres.running()
            if postgres and state.is_prepared:
                self._follow(state, declared)
            else:
                postgres = self._start_postgres(state)
                state = self._start_emulator(state, emulator or EmulatorName.MOTO, declared)
                self._prepare(postgres, state)
        return self.status()

    def stop(self) -> bool:
        """End everything, including the KMS keys, which only the emulator has. Return whether it ran."""
        if not self._state.is_claimed:
            return False
        make_private_directory(self.directory)  # raises if it is another user's
        with self._state.locked():
            was_running = self._postgres.running() is not None
            for name in EmulatorName:  # each folder remembers what was started in it
                was_running |= stop_recorded(self.directory / name)
            self._postgres.stop()
            self._state.delete()
        return was_running

    def status(self) -> StackStatus:
        """Return the running parts, their places, and the problem, if any."""
        state = self._state.read()
        return StackStatus(
            directory=self.directory,
            postgres=self._postgres.running(),
            emulator=state.live_emulator,
            recorded=state,
        )

    def data_paths(self) -> list[Path]:
        """Return the paths that `reset` deletes. The lock and LocalStack's programs stay: no data."""
        if not self._state.is_claimed:
            return []
        place = self._postgres.place
        made = [self.directory / name for name in _MADE]
        return [
            path for path in dict.fromkeys([*([place] if place else []), *made]) if path.exists()
        ]

    def reset(self) -> list[Path]:
        """End everything, and delete all data, keys and passwords. Return the deleted paths."""
        deleted = self.data_paths()
        if not deleted:
            return []
        self.stop()
        with self._state.locked():
            self._postgres.destroy()
            for path in deleted:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        return deleted

    def queue_client(self) -> SQSClient:
        """Return an SQS client of the admin. Raises ConfigurationError if the stack does not run."""
        admin = self.environment(ADMIN)
        credentials = Credentials(admin["AWS_ACCESS_KEY_ID"], admin["AWS_SECRET_ACCESS_KEY"])
        client: SQSClient = EmulatorSession(admin["AWS_ENDPOINT_URL"], credentials).client("sqs")
        return client

    def environment(self, role: str) -> dict[str, str]:
        """Return the settings that point other commands at this stack, as a role of docs/design.md, Roles.

        Raises UsageError for an unknown role, ConfigurationError if the stack does not run.
        """
        if role not in ROLES:
            raise UsageError(f"there is no role {role}", hint=f"one of: {', '.join(ROLES)}")
        status = self.status()
        if status.problem or not (
            status.postgres and status.emulator and status.recorded.provisioned
        ):
            raise ConfigurationError(
                status.problem or f"no embedded stack runs in {self.directory}",
                hint="vault-etl local start",
            )
        return _environment(role, status.postgres, status.emulator, status.recorded)

    def _claim_directory(self) -> None:
        """Refuse a folder with other files in it: `reset` deletes by name."""
        found = self.directory.is_dir() and any(self.directory.iterdir())
        if found and not self._state.is_claimed:
            raise ConfigurationError(
                f"{self.directory} is not empty, and no embedded stack made it",
                hint="choose a new place with --dir",
            )
        make_private_directory(self.directory)

    def _usable(
        self, state: StackState, wanted: EmulatorName | None, declared: StackState
    ) -> StackState:
        """Return the recorded state, or an empty state if the emulator no longer runs."""
        live = state.live_emulator
        if live is None:
            return StackState()
        if wanted and live.name is not wanted:
            raise ConfigurationError(
                f"the stack in {self.directory} runs on {live.name}, not on {wanted}",
                hint="vault-etl local reset, then start it on the other one",
            )
        if not set(state.fields) <= set(declared.fields):
            runs, asked = (each.schema_file or "the default" for each in (state, declared))
            raise ConfigurationError(
                f"the stack in {self.directory} runs with the declaration {runs}, not with {asked}",
                hint="set VAULT_ETL_SCHEMA_FILE as it was; or vault-etl local reset, then start it again",
            )
        if state.provisioned is None:  # an aborted start: nothing was sealed under its keys
            live.stop()
            return StackState()
        return state

    def _start_postgres(self, state: StackState) -> RunningPostgres:
        was_running = self._postgres.running() is not None
        if not was_running:
            self._notify("starting PostgreSQL")
        postgres = self._postgres.start()
        if state.live_emulator is None:
            try:
                refuse_if_keys_are_lost(postgres)
            except ConfigurationError:
                if not was_running:
                    self._postgres.stop()
                raise
        return postgres

    def _start_emulator(
        self, state: StackState, name: EmulatorName, declared: StackState
    ) -> StackState:
        if state.live_emulator is not None:
            return self._follow(state, declared)
        if name is EmulatorName.LOCALSTACK:
            emulator = start_localstack(self.directory / "localstack", self._notify)
        else:
            self._notify("starting the AWS emulator")
            emulator = start_moto(self.directory / "moto")
        state = replace(declared, emulator=emulator)
        self._state.write(state)
        self._notify("making a queue, KMS keys and access keys")
        state = state.with_provisioned(
            provision(
                emulator.endpoint,
                read_declaration(declared.schema_file),
                authenticate=name is EmulatorName.MOTO,
            )
        )
        self._state.write(state)
        return state

    def _follow(self, state: StackState, declared: StackState) -> StackState:
        """Let the roles of a running emulator use the declared fields and queues, as the template does."""
        emulator, provisioned = state.emulator, state.provisioned
        if emulator is None or provisioned is None:
            raise AssertionError
        followed = replace(declared, emulator=emulator, is_prepared=state.is_prepared)
        if replace(followed, provisioned=provisioned) == state:
            return state
        self._notify("changing policies: the declared fields and queues")
        made = change_policies(
            emulator.endpoint,
            provisioned.credentials[ADMIN],
            read_declaration(declared.schema_file),
        )
        provisioned = replace(
            provisioned, queue_url=made.queue_url, dead_letter_url=made.dead_letter_url
        )
        followed = replace(followed, provisioned=provisioned)
        self._state.write(followed)
        return followed

    def _prepare(self, postgres: RunningPostgres, state: StackState) -> None:
        """Make tables, logins, the key that signs the log, the first token keys. Each step is safe to repeat."""
        emulator = state.emulator
        if emulator is None:
            raise AssertionError
        as_admin = _environment(ADMIN, postgres, emulator, state)
        self._notify("vault-etl migrate: tables, functions and roles")
        self._run_command(["migrate"], as_admin, self.directory)
        create_logins(postgres)
        as_audit = _environment("audit", postgres, emulator, state)
        self._notify("vault-etl audit checkpoint: the key that signs the audit log")
        self._run_command(["audit", "checkpoint"], as_audit, self.directory)
        as_re_encrypt = _environment("re-encrypt", postgres, emulator, state)
        self._notify("vault-etl keys init: the first token keys")
        self._run_command(["keys", "init"], as_re_encrypt, self.directory)
        self._state.write(state.prepared())


def _environment(
    role: str, postgres: RunningPostgres, emulator: Emulator, state: StackState
) -> dict[str, str]:
    provisioned = state.provisioned
    if provisioned is None:
        raise AssertionError
    credentials = provisioned.credentials[role]
    return {
        "VAULT_ETL_DATABASE_URL": postgres.url(login_of(role)),
        # As the stack is made, whatever a shell has for another vault.
        "VAULT_ETL_DATABASE_SCHEMA": SCHEMA,
        "VAULT_ETL_ROLE_PREFIX": ROLE_PREFIX,
        "VAULT_ETL_SCHEMA_FILE": state.schema_file or "",
        "VAULT_ETL_QUEUE_URL": provisioned.queue_url,
        "AWS_ENDPOINT_URL": emulator.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,  # the variable that the SDK for Python reads
        **credentials.environment,
    }
