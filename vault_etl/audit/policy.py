"""The reveal policy: a document that the database keeps and enforces (docs/formats.md)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vault_etl.audit.entries import MAX_WORD_CHARACTERS, one_line
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import FieldName

DEFAULT_REVEALS_AN_HOUR: Final = 50
MAX_AN_HOUR: Final = 1_000_000
MAX_PURPOSES: Final = 100
MAX_PATTERN_CHARACTERS: Final = 200

DEFAULT_TOKENS_AN_HOUR: Final = 10_000

DEFAULT_POLICY: Final[Mapping[str, object]] = {
    "reveals_an_hour": DEFAULT_REVEALS_AN_HOUR,
    "tokens_an_hour": DEFAULT_TOKENS_AN_HOUR,
    "purposes": {},
}
"""In force until a policy is set: any purpose or none, every field, a reason always."""

QUOTAS: Final = ("reveals_an_hour", "tokens_an_hour")

OF_THE_READER: Final = "your_quota"
"""The part that `audit policy` adds for a login with access. It is not part of a policy: `policy set` drops it."""

DENIALS: Final[Mapping[str, tuple[str, str]]] = {
    "purpose": (
        "the reveal policy does not know this purpose",
        "name a purpose of the policy with --purpose",
    ),
    "field": (
        "the reveal policy does not allow this field for this purpose",
        "ask for fewer fields with --field, or name another purpose",
    ),
    "masked_only": (
        "the reveal policy allows this field masked only",
        "add --masked, if it is a reveal",
    ),
    "ticket": (
        "the reveal policy requires a ticket of another form",
        "name the ticket with --ticket",
    ),
    "role": (
        "Postgres: this login may not do that",
        "use a login that has the command's role; the denial is on the record",
    ),
    "quota": (
        "the reveal policy's quota for one hour is used up",
        "`vault-etl audit policy` says until when; the denial is on the record",
    ),
}
"""Maps the database's answer to the message and the hint."""

QUOTA_PERIOD: Final = dt.timedelta(hours=1)
"""An access counts for this long."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A login's use of one quota. `oldest` and `newest` are the times of the uses that count."""

    an_hour: int
    used: int
    oldest: dt.datetime | None
    newest: dt.datetime | None

    @property
    def left(self) -> int:
        """The uses that remain now."""
        return max(0, self.an_hour - self.used)

    @property
    def next_at(self) -> dt.datetime | None:
        """The time when the oldest use no longer counts; None if none counts."""
        return self.oldest + QUOTA_PERIOD if self.oldest else None

    @property
    def reset_at(self) -> dt.datetime | None:
        """The time when the whole quota is available, if none is used until then; None if it is now."""
        return self.newest + QUOTA_PERIOD if self.newest else None


@dataclass(frozen=True, slots=True)
class Allowance:
    """The policy in force, and what the login has used of it; `reader` says whether the login has access."""

    document: Mapping[str, Any]
    reader: bool
    accesses: Quota
    tokens: Quota


_RULE_KEYS: Final = {"fields", "masked_fields", "ticket_pattern"}
_HINT: Final = "`vault-etl audit policy --output json` prints a valid policy"


def parse_policy(text: str, known: Sequence[FieldName]) -> str:
    """Return the document in its one spelling: JSON with sorted keys. It names fields of `known`, retired or not.

    Raises ConfigurationError, naming the place, for a document that is not a policy. Patterns are
    Postgres's regular expressions, and only Postgres can validate them.
    """
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("it is not JSON") from None
    if isinstance(policy, dict):
        policy.pop(OF_THE_READER, None)
    _check_names(policy, DEFAULT_POLICY.keys(), "the policy")
    quotas = {name: policy.get(name, DEFAULT_POLICY[name]) for name in QUOTAS}
    for name, quota in quotas.items():
        if type(quota) is not int or not 0 <= quota <= MAX_AN_HOUR:
            raise _wrong(f"{name} is a whole number from 0 to {MAX_AN_HOUR}")
    purposes = policy.get("purposes", {})
    if not isinstance(purposes, dict) or len(purposes) > MAX_PURPOSES:
        raise _wrong(f"purposes is an object of at most {MAX_PURPOSES}")
    document = {
        **quotas,
        "purposes": {name: _rule(name, rule, known) for name, rule in purposes.items()},
    }
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def _rule(name: str, rule: Any, known: Sequence[FieldName]) -> dict[str, object]:  # noqa: ANN401 - whatever JSON held
    if not 0 < len(name) <= MAX_WORD_CHARACTERS or name != one_line(name):
        raise _wrong("a purpose is a word or words of at most 64 characters")
    _check_names(rule, _RULE_KEYS, f"the purpose {name}")
    pattern = rule.get("ticket_pattern")
    if pattern is not None and not (
        isinstance(pattern, str) and len(pattern) <= MAX_PATTERN_CHARACTERS and "\0" not in pattern
    ):
        raise _wrong(f"the ticket_pattern of {name} is a text of at most 200 characters, or null")
    return {
        "fields": _fields(name, rule.get("fields", []), known),
        "masked_fields": _fields(name, rule.get("masked_fields", []), known),
        "ticket_pattern": pattern,
    }


def _fields(name: str, fields: Any, known: Sequence[FieldName]) -> list[str]:  # noqa: ANN401 - as above
    if not isinstance(fields, list) or any(field not in known for field in fields):
        raise _wrong(f"the fields of {name} are a list of fields of this vault: {', '.join(known)}")
    return sorted(set(fields))


def _check_names(found: Any, known: Any, where: str) -> None:  # noqa: ANN401 - as above
    if not isinstance(found, dict):
        raise _wrong(f"{where} is an object")
    for name in found:
        if name not in known:
            raise _wrong(f"{where} has a name that is unknown: {name}")


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"this is not a reveal policy: {what}", hint=_HINT)
