"""Which settings of Postgres bring the values of statements into its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from vault_etl.doctor.checks.server_log import values

QUIET = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "0",
}


@dataclass
class Settings:
    """`LogFacts` as a test says."""

    found: Mapping[str, str]

    def log_settings(self) -> Mapping[str, str]:
        """See `LogFacts.log_settings`."""
        return self.found


@pytest.mark.parametrize(
    ("changed", "left_out_by"),
    [
        ({"log_statement": "all"}, {"log_parameter_max_length": "0"}),
        ({"log_min_duration_statement": "0"}, {"log_parameter_max_length": "0"}),
        ({"log_min_duration_sample": "250"}, {"log_parameter_max_length": "0"}),
        ({"log_transaction_sample_rate": "0.1"}, {"log_parameter_max_length": "0"}),
        (
            {"auto_explain.log_min_duration": "100", "auto_explain.log_parameter_max_length": "-1"},
            {"auto_explain.log_parameter_max_length": "0"},
        ),
        (
            {"pgaudit.log": "read, write", "pgaudit.log_parameter": "on"},
            {"pgaudit.log_parameter": "off"},
        ),
        (
            {"log_parameter_max_length_on_error": "-1"},
            {"log_parameter_max_length_on_error": "0"},
        ),
    ],
)
def test_what_logs_values_is_a_fault_until_they_are_left_out(
    changed: dict[str, str], left_out_by: dict[str, str]
) -> None:
    """Of Postgres itself and of modules; the hint names the setting."""
    wrong = values(Settings({**QUIET, **changed}))
    assert not wrong.ok
    assert next(iter(changed)) in wrong.detail
    ((name, value),) = left_out_by.items()
    assert f"{name} = {value}" in str(wrong.hint)
    assert values(Settings({**QUIET, **changed, **left_out_by})).ok


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"log_statement": "ddl"},
        {"log_statement": "mod"},
        {"auto_explain.log_min_duration": "-1", "auto_explain.log_parameter_max_length": "-1"},
        {"pgaudit.log": "none", "pgaudit.log_parameter": "on"},
    ],
)
def test_what_logs_no_statement_is_no_fault(more: dict[str, str]) -> None:
    """As PostgreSQL is by default."""
    assert values(Settings({**QUIET, **more})).ok
