"""Errors of tasks, on their way from an executor to the driver: exit code, message and hint, and no value."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vault_etl.base.errors import VaultEtlError, error_of_code

_TOLD: Final = re.compile(r"\[vault-etl (\d+)\] (.*?)(?: \[hint: (.*?)\])?$", re.MULTILINE)


class TaskError(Exception):
    """An error of a task. Spark tries the task again, and writes the text into logs and the event log."""

    def __init__(self, error: VaultEtlError) -> None:
        hint = f" [hint: {error.hint}]" if error.hint else ""
        super().__init__(f"[vault-etl {error.exit_code}] {error}{hint}")


@contextlib.contextmanager
def task_errors() -> Iterator[None]:
    """Turn every error into a TaskError: the text of another library's error could hold a value."""
    try:
        yield
    except VaultEtlError as error:
        told = error
    except Exception as error:  # noqa: BLE001 - its type and its place are told
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        told = VaultEtlError(f"a task failed: {type(error).__name__} in {place}")
    else:
        return
    # Spark writes the traceback, which would have the text of the error before this one.
    raise TaskError(told) from None


@contextlib.contextmanager
def job_errors() -> Iterator[None]:
    """Raise, on the driver, the error of ours that a failed job names. Other errors pass."""
    try:
        yield
    except Exception as error:
        found = _TOLD.search(str(error))
        if found is None:
            raise
    else:
        return
    code, message, hint = found.groups()
    raise error_of_code(int(code), message, hint)
