"""Errors and results of tasks, on their way to the driver."""

from __future__ import annotations

import traceback

import pytest

from vault_etl.archives.manifest import GenerationCount, KeyCount, Part
from vault_etl.base.errors import DataError, IncompleteError, UsageError, VaultEtlError
from vault_etl.lake.seal import SealedPart
from vault_etl.spark.errors import TaskError, job_errors, task_errors
from vault_etl.spark.reports import decoded, encoded

VALUE = "198.51.100.7"
ERRORS = (
    DataError("part-00001.parquet is not a part of this set", hint="take it from a backup [of it]"),
    IncompleteError("no free key id in 20 draws"),
    UsageError("rows: 3 [of 4]", hint="`vault-etl lake list` lists them"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_a_task_is_the_drivers(error: VaultEtlError) -> None:
    """Type, message and hint are the same behind Spark's own text, whatever lines that has."""
    with pytest.raises(TaskError) as told, task_errors():
        raise error
    text = (
        f"Job aborted: Lost task 0.3\nTraceback …\nTaskError: {told.value}\n\tat org.apache.spark"
    )
    with pytest.raises(type(error)) as caught, job_errors():
        raise RuntimeError(text)
    assert (str(caught.value), caught.value.hint) == (str(error), error.hint)


def test_the_text_of_another_error_is_not_told() -> None:
    """It may quote a value. Its type and its place are enough for a report."""
    with pytest.raises(TaskError) as told, task_errors():
        int(VALUE)
    text = "".join(traceback.format_exception(told.value))
    assert VALUE not in text
    assert "ValueError in test_task_results.py:" in text


def test_an_error_that_is_no_tasks_passes() -> None:
    """Errors of Spark itself are Spark's."""
    with pytest.raises(ZeroDivisionError), job_errors():
        raise ZeroDivisionError


def test_results_come_back_as_they_were() -> None:
    """Parts are in the order of the tasks, and counts are sums."""
    parts = [
        SealedPart(
            Part(f"part-0000{number}.parquet", number, 7, bytes([number]) * 32),
            (KeyCount("ip", 2**32 - 1, number),),
            (GenerationCount(2, number),),
        )
        for number in (1, 2, 3)
    ]
    results = [encoded(parts[:2], written=2), encoded([]), encoded(parts[2:], written=1)]
    assert decoded(results) == (parts, {"written": 3})
