"""Each rule of deploy/monitoring fires on its symptom, after its time, and is quiet without it, in promtool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.kit.monitoring import RULES, rules

pytestmark = pytest.mark.system


@dataclass(frozen=True, slots=True)
class Case:
    """Series in promtool's notation, a sample a `step`; the step at which the alert does not fire yet, and does."""

    quiet: int
    fires: int
    sick: dict[str, str]
    sound: dict[str, str]
    """The same series without the symptom: the alert does not fire at either step."""
    step: str = "1m"


def status(section: str) -> tuple[dict[str, str], dict[str, str]]:
    """A section that needs a person, and one that does not."""
    name = f'vault_etl_status_ok{{section="{section}"}}'
    return {name: "0x90"}, {name: "1x90"}


def errors(service: str, operation: str, code: str) -> str:
    """The series of failed calls."""
    return (
        f'vault_etl_call_errors_total{{service="{service}",operation="{operation}",code="{code}"}}'
    )


RECEIVED: Final = "vault_etl_messages_received_total"
WAITING: Final = 'vault_etl_queue_messages{state="visible"}'
NOT_JSON: Final = 'vault_etl_messages_quarantined_total{reason="not_json"}'
DUPLICATE: Final = "vault_etl_messages_duplicate_total"
LOADS: Final = 'vault_etl_call_duration_seconds_{}{{service="postgres",operation="load"{}}}'
AGE, LIMIT = (f'vault_etl_key_{it}_seconds{{purpose="data"}}' for it in ("age", "max_age"))
DEAD: Final = 'vault_etl_status_value{section="dead_letters",member="waiting"}'
READ_AT: Final = "vault_etl_status_read_timestamp_seconds"

CASES: Final = {
    "VaultEtlIngestAbsent": Case(9, 11, {}, {"vault_etl_ready": "1x90"}),
    "VaultEtlIngestNotReady": Case(
        4,
        6,
        {'vault_etl_ready{instance="a"}': "1x90", 'vault_etl_ready{instance="b"}': "0x90"},
        {"vault_etl_ready": "1x90"},
    ),
    "VaultEtlIngestBehind": Case(
        14,
        16,
        {"vault_etl_oldest_message_age_seconds": "901x90"},
        {"vault_etl_oldest_message_age_seconds": "900x90"},
    ),
    "VaultEtlIngestStuck": Case(
        9, 13, {WAITING: "5x90", RECEIVED: "7x90"}, {WAITING: "5x90", RECEIVED: "7+1x90"}
    ),
    "VaultEtlDenied": Case(
        1,
        3,
        {errors("kms", "Decrypt", "AccessDeniedException"): "0 0 1x90"},
        {errors("kms", "Decrypt", "ThrottlingException"): "0 0 1x90"},
    ),
    "VaultEtlPostgresExhausted": Case(
        1, 3, {errors("postgres", "load", "53"): "0 0 1x90"}, {errors("postgres", "load", "57"): "0 0 1x90"}
    ),
    "VaultEtlNearDeadLetter": Case(
        1, 3, {"vault_etl_receive_count_max": "1 1 3 1x90"}, {"vault_etl_receive_count_max": "2x90"}
    ),
    "VaultEtlQuarantine": Case(
        1,
        60,
        {NOT_JSON: "0 0 2+2x90", RECEIVED: "0+100x90"},
        {NOT_JSON: "0 0 1+1x90", RECEIVED: "0+200x90"},
    ),
    "VaultEtlFieldsDropped": Case(
        1, 3, {"vault_etl_extra_fields_total": "0 0 1x90"}, {"vault_etl_extra_fields_total": "1x90"}
    ),
    "VaultEtlDuplicates": Case(
        29, 40, {DUPLICATE: "0+6x90", RECEIVED: "0+100x90"}, {DUPLICATE: "0+4x90", RECEIVED: "0+100x90"}
    ),
    "VaultEtlGivenBack": Case(
        1,
        60,
        {"vault_etl_messages_given_back_total": "0+20x90"},
        {"vault_etl_messages_given_back_total": "0+10x90"},
    ),
    "VaultEtlCallsSlow": Case(
        10,
        20,
        {LOADS.format("bucket", f',le="{le}"'): f"0+{n}x90" for le, n in (("5", 98), ("25", 100))}
        | {LOADS.format("bucket", ',le="+Inf"'): "0+100x90"},
        {LOADS.format("bucket", f',le="{le}"'): "0+100x90" for le in ("5", "25", "+Inf")},
    ),
    "VaultEtlWorkersCrash": Case(
        2, 15, {"vault_etl_worker_ends_total": "0+1x90"}, {"vault_etl_worker_ends_total": "0 1 2x90"}
    ),
    "VaultEtlKeyOverdue": Case(
        25,
        27,
        {AGE: "101x30", LIMIT: "100x30"},
        {AGE: "101x30", LIMIT: "0x30"},  # 0: no limit
        "1h",
    ),
    "VaultEtlStatusAbsent": Case(9, 25, {READ_AT: "0x90"}, {READ_AT: "0+60x90"}),
    "VaultEtlPostgresUnavailable": Case(4, 6, *status("postgres")),
    "VaultEtlDeadLetters": Case(4, 6, {DEAD: "2x90"}, {DEAD: "0x90"}),
    "VaultEtlHeadUnsigned": Case(14, 16, *status("audit_log")),
    "VaultEtlRotationUnfinished": Case(59, 61, *status("rotation")),
    "VaultEtlMonthMissing": Case(59, 61, *status("partitions")),
}  # fmt: skip

FIRST_AND_NEW: Final = "_ _ 1x90"
RESTARTED: Final = (
    (
        "VaultEtlIngestAbsent",
        Case(
            9,
            11,
            {'vault_etl_ready{instance="a"}': "0 stale " * 45},
            {'vault_etl_ready{instance="a"}': "0 stale " * 45, 'vault_etl_ready{instance="b"}': "1x90"},
        ),
    ),
    (
        "VaultEtlDenied",
        Case(
            1,
            3,
            {errors("kms", "Decrypt", "AccessDeniedException"): FIRST_AND_NEW},
            {errors("kms", "Decrypt", "ThrottlingException"): FIRST_AND_NEW},
        ),
    ),
    (
        "VaultEtlDenied",
        Case(
            6,
            9,
            {errors("kms", "Decrypt", "AccessDeniedException"): "3x6 stale 1x90"},
            {errors("kms", "Decrypt", "AccessDeniedException"): "3x90"},
        ),
    ),
    (
        "VaultEtlPostgresExhausted",
        Case(
            1,
            3,
            {errors("postgres", "load", "53"): FIRST_AND_NEW},
            {errors("postgres", "load", "57"): FIRST_AND_NEW},
        ),
    ),
    (
        "VaultEtlWorkersCrash",
        Case(4, 15, {RECEIVED: "0 50 " * 45}, {RECEIVED: "0 50 0 50x90"}),
    ),
    (
        "VaultEtlKeyOverdue",
        Case(
            25 * 60,
            27 * 60,
            {AGE: "101x30 stale 101x30", LIMIT: "100x30 stale 100x30"},
            {AGE: "99x30 stale 99x30", LIMIT: "100x30 stale 100x30"},
            "30m",
        ),
    ),
)  # fmt: skip
"""What a worker that starts again must not hide: it is never ready, its gauges pause, or its counters begin again.

The series of an error code begins with its first error, which `increase` does not see.
"""


def expectation(alert: str, moment: str, *, firing: bool) -> dict[str, Any]:
    """A test of promtool: the alert fires at this time, or does not."""
    firings = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    sample = {"labels": f'{{alertname="{alert}"}}', "value": 1}
    return {
        "expr": f"count by (alertname) ({firings})",
        "eval_time": moment,
        "exp_samples": [sample] if firing else [],
    }


def scenarios(alert: str, case: Case) -> list[dict[str, Any]]:
    """The groups of promtool's file for a case."""
    quiet, fires = (f"{moment}{case.step[-1]}" for moment in (case.quiet, case.fires))
    return [
        {
            "name": name,
            "interval": case.step,
            "input_series": [{"series": key, "values": value} for key, value in series.items()],
            "promql_expr_test": [
                expectation(alert, quiet, firing=False),
                expectation(alert, fires, firing=firing),
            ],
        }
        for name, series, firing in (
            (f"{alert} fires", case.sick, True),
            (f"{alert} is quiet", case.sound, False),
        )
    ]


def promtool(*arguments: object) -> None:
    """Run promtool, which must find nothing wrong."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_fires_on_its_symptom_and_not_before(tmp_path: Path) -> None:
    """One run for all rules. An alert that has no case fails here."""
    assert sorted(rule["alert"] for rule in rules()) == sorted(CASES)
    files = []
    cases = [*CASES.items(), *RESTARTED]
    for step in sorted({case.step for _, case in cases}):
        of_step = [(alert, case) for alert, case in cases if case.step == step]
        groups = [each for alert, case in of_step for each in scenarios(alert, case)]
        tests = {"rule_files": [str(RULES)], "evaluation_interval": step, "tests": groups}
        files.append(tmp_path / f"{step}.yml")
        files[-1].write_text(yaml.safe_dump(tests), "utf-8")
    promtool("test", "rules", *files)
