"""The model of the settings: types, bounds and defaults.

AWS has its own settings (AWS_REGION, AWS_ENDPOINT_URL, …), which ours do not repeat.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.limits import MAX_LEASE, MAX_SEALS
from vault_etl.declaration.names import KEYWORDS
from vault_etl.platform.names import ROLE_PREFIX, ROLES, SCHEMA, Names
from vault_etl.settings.fields import Secret, setting, specs_of

if TYPE_CHECKING:
    from vault_etl.keys.age import Ages

PREFIX: Final = "VAULT_ETL_"

SCHEMA_FORM: Final = r"^(?!pg_|.*_detached\Z)[a-z][a-z0-9_]{0,30}\Z"
"""Lower case, 31 characters at most, and not the detached months of another vault."""
SCHEMAS_TAKEN: Final = KEYWORDS | {
    *("public", "information_schema"),
    *(ROLE_PREFIX + role for role in ROLES),
}
"""Names that would need quotes; `public`, where others look up and create objects; and names of roles, which would be
replaced."""
ROLE_PREFIX_FORM: Final = r"^(?!pg_)[a-z][a-z0-9_]{0,30}_\Z"
"""PostgreSQL keeps names that begin with `pg_` for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, its type, its bounds and its default."""

    database_url: Secret | None = setting(
        None,
        "Postgres: postgresql://login:password@host:port/database",
        example="postgresql://login:password@host:5432/database",
    )
    database_password: str | None = setting(
        None,
        "The source of the password, read at each connect: file:PATH, rds-iam or"
        " secretsmanager:ARN",
        pattern=r"^(file:.+|rds-iam|secretsmanager:arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+)$",
        example="file:/run/secrets/database, rds-iam, or secretsmanager:ARN",
    )
    database_schema: str = setting(
        SCHEMA,
        "Schema of the vault in the database; cannot be changed after `migrate`",
        pattern=SCHEMA_FORM,
        refused=SCHEMAS_TAKEN,
        example="vault_etl: letters, digits and _, at most 31, no reserved word",
    )
    role_prefix: str = setting(
        ROLE_PREFIX,
        "Begins the names of the vault's roles, which belong to the whole cluster",
        pattern=ROLE_PREFIX_FORM,
        example="vault_etl_: letters, digits and _, at most 32, with _ at the end",
    )
    read_url: Secret | None = setting(
        None,
        "A replica that `duplicates`, lists and `audit verify` read",
        example="postgresql://login@replica:5432/database",
    )
    read_max_lag: float = setting(300, "Seconds that the replica may be behind", ge=0, le=604_800)
    queue_url: str | None = setting(
        None,
        "The URL of the queue; `ingest` needs it",
        pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[!-~]*)?$",
        example="https://sqs.eu-central-1.amazonaws.com/123456789012/login-events",
    )
    schema_file: str | None = setting(
        None,
        "The declaration of fields and events; not set: the login event",
        example="vault-etl.schema.toml",
    )
    data_key: str = setting(
        "alias/vault-etl-data", "KMS key that wraps data keys", example="alias/vault-etl-data"
    )
    token_key: str = setting(
        "alias/vault-etl-token", "KMS key that wraps token keys", example="alias/vault-etl-token"
    )
    audit_key: str = setting(
        "alias/vault-etl-audit", "KMS key that signs the audit log", example="alias/vault-etl-audit"
    )
    archive_key: str = setting(
        "alias/vault-etl-archive",
        "KMS key that signs archives of months; must not be the audit key",
        example="alias/vault-etl-archive",
    )
    trusted_key_arns: tuple[str, ...] = setting(
        (),
        "KMS key ARNs that wrapped keys may name; empty: the keys that the aliases name",
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$",
        example="arn:aws:kms:eu-central-1:123456789012:key/…, and others behind commas",
    )
    log_format: Literal["text", "json"] | None = setting(
        None, "Form of log lines. Without it: text on a terminal, else json"
    )
    metrics_address: str | None = setting(
        None,
        "HOST:PORT where `ingest` serves metrics and probes; not set: nowhere",
        pattern=r"^(\[[^\s\[\]]+\]|[^\s:\[\]]+):[0-9]{1,5}$",
        example="0.0.0.0:9464",
    )
    batch_size: int = setting(1_000, "Messages in one transaction", ge=1, le=10_000)
    strict: bool = setting(default=False, description="Quarantine events with unknown fields")
    linger: float = setting(1.0, "Seconds until an incomplete batch is written", ge=0, le=60)
    receivers: int = setting(4, "Long polls at the same time, at least", ge=1, le=32)
    sqs_client: Literal["lean", "botocore"] = setting(
        "lean", "What receives and deletes messages; both do the same"
    )
    drain_wait: int = setting(1, "Seconds of one long poll without `--follow`", ge=0, le=20)
    follow_wait: int = setting(
        1, "Seconds of one long poll with `--follow`, which delay its end", ge=0, le=20
    )
    outage_wait: float = setting(
        60, "Seconds that `ingest` without `--follow` waits in an outage", ge=0, le=43_200
    )
    stop_within: float = setting(
        28, "Seconds from a signal to the end, with `--follow`", ge=1, le=3_600
    )
    max_held: int = setting(
        10_000, "Most messages that are received and not settled", ge=10, le=100_000
    )
    max_held_mib: int = setting(
        256, "Most MiB of bodies that are received and not stored", ge=10, le=1_024
    )
    lease_hours: float = setting(
        MAX_LEASE.total_seconds() / 3600,
        "Hours that a process seals under one data key",
        gt=0,
        le=MAX_LEASE.total_seconds() / 3600,
    )
    lease_seals: int = setting(
        MAX_SEALS, "Values sealed under one data key", ge=10_000, le=MAX_SEALS
    )
    data_key_max_age_days: int = setting(
        90, "Days until data keys are due for rotation; 0: never", ge=0, le=36_500
    )
    token_key_max_age_days: int = setting(
        365, "Days until the token keys are due for rotation; 0: never", ge=0, le=36_500
    )

    quarantine_max_age_days: int = setting(
        30, "Days until `quarantine discard --if-due` deletes a message; 0: never", ge=0, le=36_500
    )

    given: frozenset[str] = field(default=frozenset(), compare=False)
    """The names of the settings that are set, in the environment or the file."""

    @property
    def key_age_limits(self) -> Ages:
        """The age limits of the keys of each purpose; 0: no limit."""
        return {
            KeyPurpose.DATA: dt.timedelta(days=self.data_key_max_age_days),
            KeyPurpose.TOKEN: dt.timedelta(days=self.token_key_max_age_days),
        }

    @property
    def names(self) -> Names:
        """The names of the vault in Postgres."""
        return Names(self.database_schema, self.role_prefix)

    def need_database_url(self) -> str:
        """The database's URL. Raises ConfigurationError if it is not set."""
        if self.database_url is None:
            raise _missing("DATABASE_URL")
        return self.database_url.expose()

    def need_read_url(self) -> str:
        """The replica's URL. Raises ConfigurationError if it is not set."""
        if self.read_url is None:
            raise _missing("READ_URL")
        return self.read_url.expose()

    def need_queue_url(self) -> str:
        """The queue's URL. Raises ConfigurationError if it is not set."""
        if self.queue_url is None:
            raise _missing("QUEUE_URL")
        return self.queue_url


SPECS: Final = specs_of(Settings)
"""All settings by their names."""


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{PREFIX}{name} is not set",
        hint='set it; for a try: `vault-etl local start`, then `eval "$(vault-etl local env)"`',
    )
