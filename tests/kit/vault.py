"""A whole vault for one test: a database of its own, the emulator's queue and keys, and the real command."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.forking import can_fork, run_forked
from tests.kit.sessions import kept_session, new_session
from vault_etl.audit.checkpoint import AuditKey, Head, Registration
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.read import read_declaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned, provision_resources

ROLES = ("ingest", "reveal", "rotate", "re-encrypt", "erase", "audit", "analyst")
DROP_FORM_CHECKS = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT conrelid::regclass AS at, conname FROM pg_constraint
        WHERE conname IN (
            'ip_is_sealed', 'device_id_is_sealed', 'body_is_sealed', 'data_keys_wrapped_key_check',
            'tokens_of_one_generation'
        )
        ORDER BY conislocal AND coninhcount = 0 DESC
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', made.at, made.conname);
    END LOOP;
END
$$
"""
_AS_MADE: dict[str, dict[str, str] | None] = {}
"""The queues' attributes, by URL."""
SAMPLES = Path(__file__).parents[1] / "data" / "login-events.jsonl"


@dataclass(frozen=True, slots=True)
class Result:
    """The output of a command, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the command printed
        """Standard output as one JSON value."""
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON value a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@dataclass(frozen=True, slots=True)
class Vault:
    """One test's vault. `role` below is one of `ROLES`, or `admin` or `owner`: the database's superuser.

    The AWS role of `owner` is the owner's alone; `admin` has every other one.
    """

    server: RunningPostgres
    database: str
    endpoint: str
    provisioned: Provisioned
    home: Path
    overrides: dict[str, str] = field(default_factory=dict)

    @property
    def declaration(self) -> Declaration:
        """The declaration that its commands read."""
        return read_declaration(self.overrides.get("VAULT_ETL_SCHEMA_FILE"))

    def database_url(self, role: str) -> str:
        """The URL of a role's login."""
        login = "admin" if role in {"admin", "owner"} else f"test_{role.replace('-', '_')}"
        return self.server.url(login, self.database)

    def environment(self, role: str) -> dict[str, str]:
        """All that a command of this role gets to see."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "VAULT_ETL_DATABASE_URL": self.database_url(role),
            "VAULT_ETL_QUEUE_URL": self.provisioned.queue_url,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            **self.access_key("operator" if role == "admin" else role),
            **self.overrides,
        }

    def access_key(self, role: str) -> dict[str, str]:
        """The variables with the access key of an AWS role. That of `admin` may do all that any role may."""
        return self.provisioned.credentials[role].environment

    def command(self, *args: str) -> list[str]:
        """The command line of `vault-etl ARGS`, warnings being errors."""
        return [sys.executable, "-W", "error", "-m", "vault_etl", *args]

    def run(
        self,
        role: str,
        *args: str,
        extra: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        seconds: float = 60,
    ) -> Result:
        """Run `vault-etl ARGS` as a process with the role's credentials; None in `extra` unsets.

        Where it can be, the process is a fork of one that has imported the command: `tests/kit/forked.py`.
        """
        environment = {
            name: value
            for name, value in {**self.environment(role), **(extra or {})}.items()
            if value is not None
        }
        if can_fork(args, environment):
            done = run_forked(args, environment, self.home, stdin=stdin, seconds=seconds)
        else:
            done = subprocess.run(
                self.command(*args),
                env=environment,
                cwd=self.home,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, role: str, *args: str, **options: Any) -> Result:  # noqa: ANN401 - as `run`
        """Run a command that must succeed."""
        result = self.run(role, *args, **options)
        assert result.code == 0, result.stderr
        return result

    def sql(self, statement: str, *values: object, role: str = "admin") -> list[tuple[Any, ...]]:
        """Run one statement, committed; its rows, if it has any."""
        url = self.database_url(role)
        is_superuser = role in {"admin", "owner"}
        session = kept_session(url, statement) if is_superuser else new_session(url)
        with session as opened, opened.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        ((rows,),) = self.sql(f"SELECT count(*) FROM vault_etl.{table}")  # noqa: S608 - a name of ours
        assert isinstance(rows, int)
        return rows

    def grow_older(self, by: dt.timedelta) -> None:
        """Make the existing keys so much older, which a trigger forbids every role."""
        self.sql(
            "SET session_replication_role = replica; UPDATE vault_etl.data_keys"
            " SET created_at = created_at - %s, expires_at = expires_at - %s",
            by,
            by,
        )

    @property
    def emulator(self) -> EmulatorSession:
        """The emulator, as the operator, who may do all that any role may."""
        return emulator_session(self.endpoint, self.provisioned.credentials["admin"])

    def actor(self, role: str) -> str:
        """The ARN of who uses a role's access key, by the emulator's word."""
        session = emulator_session(self.endpoint, self.provisioned.credentials[role])
        arn: str = session.client("sts").get_caller_identity()["Arn"]
        return arn

    def register_audit_key(self) -> None:
        """Register the audit key, as the first `audit checkpoint` does: accesses need it. No process is started."""
        kms = self.emulator.client("kms")
        arn = kms.describe_key(KeyId="alias/vault-etl-audit")["KeyMetadata"]["Arn"]
        ((vault_id, seq, hash_),) = self.sql(
            "SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head"
        )
        key = AuditKey(kms.get_public_key(KeyId=arn)["PublicKey"])
        bare = Registration(vault_id, Head(seq, bytes(hash_)), arn, key)
        signed = kms.sign(
            KeyId="alias/vault-etl-audit",
            Message=bare.text.encode(),
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        self.sql(
            "CALL vault_etl.commit_audit_register_key(gen_random_uuid(), 'a', 'h', 'registered',"
            " %s, %s, %s, %s, NULL, NULL)",
            bare.kms_key_arn,
            key.spki,
            seq,
            signed["Signature"],
        )

    def set_policy(self, policy: Mapping[str, object]) -> None:
        """Set the policy as `audit policy set` does, without a process."""
        self.sql(
            "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'set', %s)",
            json.dumps(policy),
        )

    def drop_form_checks(self) -> None:
        """Let ciphertexts and wrapped keys have any form and length: an owner may drop the CHECKs first."""
        self.sql(DROP_FORM_CHECKS)

    def renew_queue(self) -> None:
        """Make the queue again, empty, unless it is as it was made. SQS purges once in 60 seconds only."""
        url = self.provisioned.queue_url
        if url in _AS_MADE and self._queue() == _AS_MADE[url]:
            return
        self.emulator.client("sqs").delete_queue(QueueUrl=url)
        provision_resources(self.emulator)
        _AS_MADE[url] = self._queue()

    def _queue(self) -> dict[str, str] | None:
        """Attributes of the queue, its number of messages among them; None without it or its dead-letter queue."""
        sqs = self.emulator.client("sqs")
        try:
            sqs.get_queue_attributes(QueueUrl=self.provisioned.dead_letter_url)
            of_queue = sqs.get_queue_attributes(
                QueueUrl=self.provisioned.queue_url, AttributeNames=["All"]
            )
        except sqs.exceptions.QueueDoesNotExist:
            return None
        attributes: dict[str, str] = of_queue["Attributes"]
        return attributes

    def send(self, bodies: Iterable[str]) -> None:
        """Put bodies on the queue."""
        sqs = self.emulator.client("sqs")
        for ten in _tens(list(bodies)):
            sent = sqs.send_message_batch(
                QueueUrl=self.provisioned.queue_url,
                Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(ten)],
            )
            assert not sent.get("Failed")

    def depth(self) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        attributes = self.emulator.client("sqs").get_queue_attributes(
            QueueUrl=self.provisioned.queue_url, AttributeNames=["All"]
        )["Attributes"]
        names = ("", "NotVisible", "Delayed")
        visible, in_flight, delayed = (
            int(attributes[f"ApproximateNumberOfMessages{name}"]) for name in names
        )
        return visible, in_flight, delayed


def sample_events() -> list[str]:
    """The 100 sample bodies; one of them is no login event."""
    return SAMPLES.read_text(encoding="utf-8").splitlines()


@functools.cache
def emulator_session(endpoint: str, credentials: Credentials) -> EmulatorSession:
    """Made once: boto3 reads its models from files for each."""
    return EmulatorSession(endpoint, credentials)


def _tens(bodies: Sequence[str]) -> Iterable[Sequence[str]]:
    return (bodies[i : i + 10] for i in range(0, len(bodies), 10))
