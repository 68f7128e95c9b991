"""The model of the settings: types, bounds and defaults.

AWS has its own settings (AWS_REGION, AWS_ENDPOINT_URL, …), which ours do not repeat.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)

from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import MAX_LEASE, MAX_SEALS
from vault_etl.declaration.sql_names import KEYWORDS
from vault_etl.keys.age import Ages
from vault_etl.platform.names import ROLE_PREFIX, ROLES, SCHEMA, Names

PREFIX: Final = "VAULT_ETL_"

_TAKEN: Final = "|".join(
    [
        *sorted(KEYWORDS),
        *("public", "information_schema", ".*_detached"),
        *(ROLE_PREFIX + role for role in ROLES),
    ]
)
SCHEMA_FORM: Final = rf"^(?!pg_|(?:{_TAKEN})$)[a-z][a-z0-9_]{{0,30}}\Z"
"""Lower case, 31 characters at most, and never in need of quotes.

Not `public`, where others look up and create objects; not the detached months of another vault; and not the name of a
role, which would be replaced.
"""
ROLE_PREFIX_FORM: Final = r"^(?!pg_)[a-z][a-z0-9_]{0,30}_\Z"
"""PostgreSQL keeps names that begin with `pg_` for itself."""


def _words(value: object) -> object:
    """Split a list in an environment variable at its commas."""
    return value.split(",") if isinstance(value, str) else value


_Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Every setting, its type, its bounds and its default."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        regex_engine="python-re",  # for patterns that leave words out
    )

    database_url: SecretStr | None = Field(
        None,
        min_length=1,
        examples=["postgresql://login:password@host:5432/database"],
        description="Postgres: postgresql://login:password@host:port/database",
    )
    database_password: str | None = Field(
        None,
        pattern=r"^(file:.+|rds-iam|secretsmanager:arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+)$",
        examples=["file:/run/secrets/database, rds-iam, or secretsmanager:ARN"],
        description="The source of the password, read at each connect: file:PATH, rds-iam or"
        " secretsmanager:ARN",
    )
    database_schema: str = Field(
        SCHEMA,
        pattern=SCHEMA_FORM,
        examples=["vault_etl: letters, digits and _, at most 31, no reserved word"],
        description="Schema of the vault in the database; cannot be changed after `migrate`",
    )
    role_prefix: str = Field(
        ROLE_PREFIX,
        pattern=ROLE_PREFIX_FORM,
        examples=["vault_etl_: letters, digits and _, at most 32, with _ at the end"],
        description="Begins the names of the vault's roles, which belong to the whole cluster",
    )
    read_url: SecretStr | None = Field(
        None,
        min_length=1,
        examples=["postgresql://login@replica:5432/database"],
        description="A replica that `duplicates`, lists and `audit verify` read",
    )
    read_max_lag: float = Field(
        300, ge=0, le=604_800, description="Seconds that the replica may be behind"
    )
    queue_url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        examples=["https://sqs.eu-central-1.amazonaws.com/123456789012/login-events"],
        description="The URL of the queue; `ingest` needs it",
    )
    schema_file: str | None = Field(
        None,
        min_length=1,
        examples=["vault-etl.schema.toml"],
        description="The declaration of fields and events; not set: the login event",
    )
    data_key: str = Field(
        "alias/vault-etl-data",
        min_length=1,
        examples=["alias/vault-etl-data"],
        description="KMS key that wraps data keys",
    )
    token_key: str = Field(
        "alias/vault-etl-token",
        min_length=1,
        examples=["alias/vault-etl-token"],
        description="KMS key that wraps token keys",
    )
    audit_key: str = Field(
        "alias/vault-etl-audit",
        min_length=1,
        examples=["alias/vault-etl-audit"],
        description="KMS key that signs the audit log",
    )
    archive_key: str = Field(
        "alias/vault-etl-archive",
        min_length=1,
        examples=["alias/vault-etl-archive"],
        description="KMS key that signs archives of months; must not be the audit key",
    )
    trusted_key_arns: Annotated[tuple[_Word, ...], BeforeValidator(_words)] = Field(
        (),
        examples=["arn:aws:kms:eu-central-1:123456789012:key/…, and others behind commas"],
        description="KMS key ARNs that wrapped keys may name; empty: the keys that the aliases name",
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="Form of log lines. Without it: text on a terminal, else json"
    )
    metrics_address: str | None = Field(
        None,
        pattern=r"^(\[[^\s\[\]]+\]|[^\s:\[\]]+):[0-9]{1,5}$",
        examples=["0.0.0.0:9464"],
        description="HOST:PORT where `ingest` serves metrics and probes; not set: nowhere",
    )
    batch_size: int = Field(1_000, ge=1, le=10_000, description="Messages in one transaction")
    strict: bool = Field(default=False, description="Quarantine events with unknown fields")
    linger: float = Field(
        1.0, ge=0, le=60, description="Seconds until an incomplete batch is written"
    )
    receivers: int = Field(4, ge=1, le=32, description="Long polls at the same time")
    sqs_client: Literal["lean", "botocore"] = Field(
        "lean", description="What receives and deletes messages; both do the same"
    )
    drain_wait: int = Field(
        1, ge=0, le=20, description="Seconds of one long poll without `--follow`"
    )
    follow_wait: int = Field(
        1, ge=0, le=20, description="Seconds of one long poll with `--follow`, which delay its end"
    )
    outage_wait: float = Field(
        60,
        ge=0,
        le=43_200,
        description="Seconds that `ingest` without `--follow` waits in an outage",
    )
    stop_within: float = Field(
        28, ge=1, le=3_600, description="Seconds from a signal to the end, with `--follow`"
    )
    max_held: int = Field(
        10_000, ge=10, le=100_000, description="Most messages that are received and not settled"
    )
    max_held_mib: int = Field(
        64, ge=10, le=1_024, description="Most MiB of bodies that are received and not stored"
    )
    lease_hours: float = Field(
        MAX_LEASE.total_seconds() / 3600,
        gt=0,
        le=MAX_LEASE.total_seconds() / 3600,
        description="Hours that a process seals under one data key",
    )
    lease_seals: int = Field(
        MAX_SEALS, ge=10_000, le=MAX_SEALS, description="Values sealed under one data key"
    )
    data_key_max_age_days: int = Field(
        90, ge=0, le=36_500, description="Days until data keys are due for rotation; 0: never"
    )
    token_key_max_age_days: int = Field(
        365, ge=0, le=36_500, description="Days until the token keys are due for rotation; 0: never"
    )

    quarantine_max_age_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Days until `quarantine discard --if-due` deletes a message; 0: never",
    )

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
        return self.database_url.get_secret_value()

    def need_read_url(self) -> str:
        """The replica's URL. Raises ConfigurationError if it is not set."""
        if self.read_url is None:
            raise _missing("READ_URL")
        return self.read_url.get_secret_value()

    def need_queue_url(self) -> str:
        """The queue's URL. Raises ConfigurationError if it is not set."""
        if self.queue_url is None:
            raise _missing("QUEUE_URL")
        return self.queue_url


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{PREFIX}{name} is not set",
        hint='set it; for a try: `vault-etl local start`, then `eval "$(vault-etl local env)"`',
    )
