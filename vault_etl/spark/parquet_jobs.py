"""Jobs: one task for each number or for each partition of a frame, and what each task returns to the driver."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from vault_etl.spark.errors import job_errors, task_errors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RESULT: Final = "number long, result binary"
"""The columns of the results of a job: the number of the task, and what it returns. No value and no key is in it."""

ATTEMPTS: Final = 4096

Batches = Iterable[Any]
"""Batches of pyarrow, which has no types of its own."""


def for_each(spark: SparkSession, count: int, task: Callable[[int], bytes]) -> list[bytes]:
    """Run a task for each number from 0, each in a partition of its own, and return the results in order.

    Spark may run a task more than once; one result counts. Raises the error of a task that failed again and again.
    """
    if not count:
        return []
    frame = spark.range(0, count, 1, count).mapInArrow(functools.partial(_each, task), RESULT)
    return _collected(frame)


def for_each_partition(frame: DataFrame, task: Callable[[int, Batches], bytes]) -> list[bytes]:
    """Run a task for each partition of a frame, and return the results in the order of the partitions."""
    return _collected(frame.mapInArrow(functools.partial(_partition, task), RESULT))


def attempt(salt: int = 0) -> int:
    """Return a number of this attempt of a task, below `ATTEMPTS`: two attempts at one task have different numbers.

    Spark counts from 0 in each program: with a random `salt` of the job, a job that is repeated has others.
    """
    from pyspark import TaskContext  # noqa: PLC0415 - the package can be imported without Spark

    context = TaskContext.get()
    found: int = (context.taskAttemptId() + salt) % ATTEMPTS
    return found


def _collected(frame: DataFrame) -> list[bytes]:
    with job_errors():
        rows = frame.collect()
    return [bytes(row.result) for row in sorted(rows, key=lambda row: row.number)]


def _each(task: Callable[[int], bytes], batches: Batches) -> Iterator[Any]:
    with task_errors():
        for batch in batches:
            for number in batch["id"].to_pylist():
                yield _result(number, task(number))


def _partition(task: Callable[[int, Batches], bytes], batches: Batches) -> Iterator[Any]:
    from pyspark import TaskContext  # noqa: PLC0415

    with task_errors():
        number = TaskContext.get().partitionId()
        yield _result(number, task(number, batches))


def _result(number: int, result: bytes) -> Any:  # noqa: ANN401 - of pyarrow
    return pa.record_batch(
        [pa.array([number], pa.int64()), pa.array([result], pa.binary())], ["number", "result"]
    )
