"""Settings: read once at start, from the environment, then from `vault-etl.toml`.

AWS settings are AWS's own (AWS_REGION, AWS_ENDPOINT_URL, …): none of ours repeats them. A variable
of the environment that is empty is not set; an empty value in the file is an error.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from vault_etl.core.fields import KeyPurpose
from vault_etl.core.key_age import Ages
from vault_etl.core.keys import MAX_LEASE, MAX_SEALS
from vault_etl.errors import ConfigurationError

PREFIX: Final = "VAULT_ETL_"
CONFIG_VARIABLE: Final = "VAULT_ETL_CONFIG"
CONFIG_FILE: Final = "vault-etl.toml"

_KUBERNETES: Final = re.compile(r"^VAULT_ETL_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$")
_CONFIG_HINT: Final = "`vault-etl config` lists every setting"


def _words(value: object) -> object:
    """A list in an environment variable: separated by commas."""
    return value.split(",") if isinstance(value, str) else value


_Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """Every setting, its type, its bounds and its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        None, min_length=1, description="Postgres: postgresql://login:password@host:port/database"
    )
    queue_url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="The queue's URL; `ingest` needs it"
    )
    data_key: str = Field(
        "alias/vault-etl-data", min_length=1, description="KMS key that wraps data keys"
    )
    token_key: str = Field(
        "alias/vault-etl-token", min_length=1, description="KMS key that wraps token keys"
    )
    audit_key: str = Field(
        "alias/vault-etl-audit", min_length=1, description="KMS key that signs the audit log"
    )
    trusted_key_arns: Annotated[tuple[_Word, ...], BeforeValidator(_words)] = Field(
        (), description="KMS key ARNs that wrapped keys may name; empty: what the aliases point at"
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="text on a terminal, else json"
    )
    metrics_address: str | None = Field(
        None,
        pattern=r"^(\[[^\s\[\]]+\]|[^\s:\[\]]+):[0-9]{1,5}$",
        description="HOST:PORT where `ingest` serves metrics and probes; none: nowhere",
    )
    batch_size: int = Field(1_000, ge=1, le=10_000, description="Messages in one transaction")
    strict: bool = Field(default=False, description="Quarantine events with unknown fields")
    linger: float = Field(
        1.0, ge=0, le=60, description="Seconds until a batch that is not full is written"
    )
    receivers: int = Field(4, ge=1, le=32, description="Long polls under way at a time")
    drain_wait: int = Field(1, ge=0, le=20, description="Seconds of one long poll of a drain")
    follow_wait: int = Field(
        20, ge=0, le=20, description="Seconds of one long poll with `--follow`"
    )
    outage_wait: float = Field(
        60, ge=0, le=43_200, description="Seconds that a drain waits for what is away"
    )
    stop_within: float = Field(
        28, ge=1, le=3_600, description="Seconds from a signal to the end, with `--follow`"
    )
    max_held: int = Field(
        10_000, ge=10, le=100_000, description="Messages received and not settled yet"
    )
    max_held_mib: int = Field(
        64, ge=10, le=1_024, description="MiB of bodies received and not stored yet"
    )
    lease_hours: float = Field(
        MAX_LEASE.total_seconds() / 3600,
        gt=0,
        le=MAX_LEASE.total_seconds() / 3600,
        description="Hours that one process seals under a data key",
    )
    lease_seals: int = Field(
        MAX_SEALS, ge=10_000, le=MAX_SEALS, description="Seals under one data key"
    )
    data_key_max_age_days: int = Field(
        90, ge=0, le=36_500, description="Days until data keys are due for rotation; 0: never"
    )
    token_key_max_age_days: int = Field(
        365, ge=0, le=36_500, description="Days until the token keys are due for rotation; 0: never"
    )

    @property
    def key_age_limits(self) -> Ages:
        """How old the keys of each purpose may become; 0: as old as they like."""
        return {
            KeyPurpose.DATA: dt.timedelta(days=self.data_key_max_age_days),
            KeyPurpose.TOKEN: dt.timedelta(days=self.token_key_max_age_days),
        }

    def need_database_url(self) -> str:
        """The database's URL. Raises ConfigurationError if it is not set."""
        if self.database_url is None:
            raise _missing("DATABASE_URL")
        return self.database_url.get_secret_value()

    def need_queue_url(self) -> str:
        """The queue's URL. Raises ConfigurationError if it is not set."""
        if self.queue_url is None:
            raise _missing("QUEUE_URL")
        return self.queue_url


def load(environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """The settings, and where each came from: `environment`, a file's path, or `default`.

    Raises ConfigurationError, naming the setting and never its value, for one that is unknown or
    malformed, and for a file that cannot be read.
    """
    file, from_file = _read_file(environ)
    from_environment = _read_environment(environ)
    values: dict[str, Any] = {
        name: value.strip()
        if isinstance(value, str)
        else value  # a mounted secret ends in a newline
        for name, value in {**from_file, **from_environment}.items()
    }
    sources = dict.fromkeys(Settings.model_fields, "default")
    sources |= dict.fromkeys(from_file, file) | dict.fromkeys(from_environment, "environment")
    try:
        return Settings(**values), sources
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0])
        raise _malformed(name, sources.get(name, ""), first["type"], first["msg"]) from None


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in Settings.model_fields and variable.isupper():
            if value.strip():  # compose files set what nobody gave to nothing
                values[name] = value
        elif not _KUBERNETES.match(variable):
            message = f"unknown setting {variable}"
            raise ConfigurationError(message, hint=_CONFIG_HINT)
    return values


def _read_file(environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    named = environ.get(CONFIG_VARIABLE, "").strip()
    path = Path(named or CONFIG_FILE)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return "", {}
        message = f"{CONFIG_VARIABLE} names a file that is not there"
        raise ConfigurationError(message, hint="correct it, or unset it") from None
    except (OSError, ValueError) as error:
        message = f"the configuration file {path} cannot be read ({type(error).__name__})"
        raise ConfigurationError(
            message, hint='it is TOML: database_url = "postgresql://…"'
        ) from None
    for name, value in values.items():
        if name not in Settings.model_fields:
            message = f"unknown setting {name} in {path}"
            raise ConfigurationError(message, hint=_CONFIG_HINT)
        if isinstance(value, str) and not value.strip():
            message = f"{PREFIX}{name.upper()} ({path}): is empty"
            raise ConfigurationError(message, hint="give it a value, or take the line out")
    return str(path), values


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{PREFIX}{name} is not set",
        hint='set it; for a try: `vault-etl local start`, then `eval "$(vault-etl local env)"`',
    )


def _malformed(name: str, source: str, kind: str, text: str) -> ConfigurationError:
    """Name the setting. The words of pydantic for bounds and types name no value; those of other checks might."""
    where = f" ({source})" if source not in {"", "environment"} else ""
    detail = text[0].lower() + text[1:] if kind in _KINDS_WITHOUT_VALUES else "it is malformed"
    return ConfigurationError(f"{PREFIX}{name.upper()}{where}: {detail}", hint=_CONFIG_HINT)


_KINDS_WITHOUT_VALUES: Final = frozenset(
    {
        "bool_parsing",
        "bool_type",
        "int_parsing",
        "float_parsing",
        "int_type",
        "float_type",
        "string_type",
        "string_too_short",
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "literal_error",
        "string_pattern_mismatch",
        "int_from_float",
    }
)
