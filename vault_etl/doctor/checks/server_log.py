"""What Postgres writes to its log of the values that are sent beside a statement: none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import LogFacts

_OFF: Final = {
    "log_statement": ("none", "ddl", "mod"),  # a look is none of these
    "log_min_duration_statement": ("-1",),
    "log_min_duration_sample": ("-1",),
    "log_transaction_sample_rate": ("0",),
    "auto_explain.log_min_duration": ("-1",),
    "pgaudit.log": ("none", ""),
}
"""What logs statements, and the values with which it does not."""

_SENT: Final = "log_parameter_max_length"
_VALUES: Final = {
    "auto_explain.log_min_duration": ("auto_explain.log_parameter_max_length", "0"),
    "pgaudit.log": ("pgaudit.log_parameter", "off"),
}
"""The setting by which their values are left out, where it is not Postgres's own."""

_ON_ERROR: Final = "log_parameter_max_length_on_error"


def values(facts: LogFacts) -> Verdict:
    """A user's id and the token of what `find` looks for are not logged, whatever statements are."""
    found = facts.log_settings()
    loud = [
        name
        for name, off in _OFF.items()
        if found.get(name, off[0]) not in off and _with_values(name, found)
    ]
    if found[_ON_ERROR] != "0":
        loud.append(_ON_ERROR)
    if not loud:
        return Verdict.good("user ids and tokens are not logged")
    off = sorted({_VALUES.get(name, (_SENT, "0")) for name in loud if name != _ON_ERROR})
    wanted = [f"{name} = {value}" for name, value in off]
    wanted += [f"{_ON_ERROR} = 0"] if _ON_ERROR in loud else []
    return Verdict.bad(
        f"values of statements are logged, user ids and tokens among them ({', '.join(loud)})",
        f"ALTER DATABASE … SET {', '.join(wanted)}, as a superuser, or in the parameter group",
    )


def _with_values(name: str, found: Mapping[str, str]) -> bool:
    setting, off = _VALUES.get(name, (_SENT, "0"))
    return found.get(setting) != off
