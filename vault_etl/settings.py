"""Settings, read once at start: from the environment, then from `vault-etl.toml`.

AWS has its own settings (AWS_REGION, AWS_ENDPOINT_URL, …), which ours do not repeat. An empty variable of
the environment counts as not set; an empty value in the file is an error.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from vault_etl.base import text as expected
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import MAX_LEASE, MAX_SEALS
from vault_etl.keys.age import Ages

PREFIX: Final = "VAULT_ETL_"
CONFIG_VARIABLE: Final = "VAULT_ETL_CONFIG"
CONFIG_FILE: Final = "vault-etl.toml"

_KUBERNETES: Final = re.compile(r"^VAULT_ETL_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$")
_CONFIG_HINT: Final = "`vault-etl config` lists every setting"


def _words(value: object) -> object:
    """Split a list in an environment variable at its commas."""
    return value.split(",") if isinstance(value, str) else value


_Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Every setting, its type, its bounds and its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

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


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """A setting as it was found. A wrong setting has the `value` None: its text may be a secret."""

    name: str
    """The name in the environment; an unknown setting of a file has the name of the file."""
    value: object
    source: str
    """`environment`, a file's path, or `default`."""
    problem: str | None = None
    """The problem, without the value."""


def load(environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Load the settings, and the source of each: `environment`, a file's path, or `default`.

    Raises ConfigurationError for a setting that is unknown or malformed, with its name and without its
    value, and for a file that cannot be read.
    """
    settings, found, problems = inspect(environ)
    if problems:
        raise problems[0]
    return settings, {name: each.source for name, each in found.items()}


def inspect(
    environ: Mapping[str, str],
) -> tuple[Settings, dict[str, FoundSetting], list[ConfigurationError]]:
    """Load the settings (a wrong setting gets its default), all settings as found, and the problems."""
    problems: list[ConfigurationError] = []
    try:
        file, from_file = _read_file(environ)
    except ConfigurationError as error:
        file, from_file = "", {}
        problems.append(error)
    from_environment = _read_environment(environ)
    unknown = [
        *(
            FoundSetting(name, None, file, _unknown(name, ""))
            for name in from_file
            if name not in _NAMES
        ),
        *(
            FoundSetting(name, None, "environment", _unknown(name, PREFIX))
            for name in from_environment
            if _name_of(name) is None
        ),
    ]
    values = {name: value for name, value in from_file.items() if name in _NAMES}
    sources = dict.fromkeys(_NAMES, "default") | dict.fromkeys(values, file)
    for variable, text in from_environment.items():
        known = _name_of(variable)
        if known and text.strip():  # compose files pass variables that are not set as empty ones
            values[known], sources[known] = text, "environment"
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = value.strip()  # a mounted secret ends in a newline
    empty = {name for name, value in values.items() if value == ""}
    wrong = _wrong(values) | empty
    settings = Settings(**{name: value for name, value in values.items() if name not in wrong})
    found = {
        name: FoundSetting(
            f"{PREFIX}{name.upper()}",
            None if name in wrong else getattr(settings, name),
            sources[name],
            "is empty" if name in empty else f"takes {_takes(name)}" if name in wrong else None,
        )
        for name in _NAMES
    }
    found |= {each.name: each for each in unknown}
    for each in found.values():
        if each.problem is not None:
            where = "" if each.source == "environment" else f" ({each.source})"
            message = f"{each.name}{where} {each.problem}"
            problems.append(ConfigurationError(message, hint=_CONFIG_HINT))
    return settings, found, problems


def _wrong(values: Mapping[str, Any]) -> set[str]:
    """The names of the settings whose values are malformed or out of bounds."""
    try:
        Settings(**values)
    except ValidationError as error:
        # Only the names: the messages of pydantic may quote the value.
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return {str(each["loc"][0]) for each in found}
    return set()


def _takes(name: str) -> str:
    """The values that a setting accepts, in words."""
    field = Settings.model_fields[name]
    if field.examples:
        return f"a value such as {field.examples[0]}"
    kind = field.annotation
    kinds = [inner for inner in get_args(kind) or (kind,) if inner is not type(None)]
    if get_origin(kinds[0]) is Literal:
        return expected.one_of(get_args(kinds[0]))
    if kinds[0] is bool:
        return expected.such_as(bool)
    bounds = {
        bound: getattr(each, bound)
        for each in field.metadata
        for bound in ("ge", "gt", "le")
        if hasattr(each, bound)
    }
    number = int if kinds[0] is int else float
    return expected.number(
        number, at_least=bounds.get("ge"), at_most=bounds.get("le"), above=bounds.get("gt")
    )


def _name_of(variable: str) -> str | None:
    """The setting of an environment variable, or None."""
    name = variable.removeprefix(PREFIX).lower()
    return name if variable.isupper() and name in _NAMES else None


def _unknown(name: str, prefix: str) -> str:
    near = difflib.get_close_matches(name.removeprefix(prefix).lower(), _NAMES, n=1)
    if not near:
        return "is not a setting"
    return f"is not a setting: did you mean {prefix}{near[0].upper() if prefix else near[0]}?"


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with our prefix, by their whole names."""
    return {
        variable: value
        for variable, value in environ.items()
        if variable.startswith(PREFIX)
        and variable != CONFIG_VARIABLE
        and not _KUBERNETES.match(variable)
    }


def _read_file(environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    named = environ.get(CONFIG_VARIABLE, "").strip()
    path = Path(named or CONFIG_FILE)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return "", {}
        message = f"{CONFIG_VARIABLE} names a file that does not exist"
        raise ConfigurationError(message, hint="correct the variable, or unset it") from None
    except (OSError, ValueError) as error:
        message = f"the configuration file {path} cannot be read: {_unreadable(error)}"
        raise ConfigurationError(
            message, hint='write TOML: database_url = "postgresql://…"'
        ) from None
    return str(path), values


def _unreadable(error: OSError | ValueError) -> str:
    """The reason why a file cannot be read, without its content."""
    if isinstance(error, OSError):
        return error.strerror or "it is not a file"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "it is not TOML"


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{PREFIX}{name} is not set",
        hint='set it; for a try: `vault-etl local start`, then `eval "$(vault-etl local env)"`',
    )


_NAMES: Final = tuple(Settings.model_fields)
