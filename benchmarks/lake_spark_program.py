"""The driver program that the bench `lake-spark` times.

Reads FOLDER/plain, and prints one object of JSON: seconds, and CPU of all processes of the cluster, of each act.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
from pyspark.sql import SparkSession

from benchmarks.lake_spark import COPY
from vault_etl import spark as lake

Spent = dict[str, float]
Made = TypeVar("Made")


def main() -> None:
    """Start the cluster and its Python workers, and then do each act once."""
    folder = Path(sys.argv[1])
    spark = SparkSession.builder.appName("lake").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    plain = spark.read.parquet(str(folder / "plain"))
    place, opened = str(folder / "set"), str(folder / "opened")
    lake.tokenize(plain, {"ip": "ip"}).select("ip_token").write.parquet(str(folder / "tokens"))
    told = dict[str, Spent]()
    told[COPY], _ = _spent(lambda: plain.write.parquet(str(folder / "copied")))
    told["seal"], sealed = _spent(lambda: lake.seal(plain, place, sent=dt.date(2026, 1, 15)))
    told["open"], seen = _spent(lambda: lake.open_set(spark, place, opened, reason="a benchmark"))
    for rotation in (("--lazy",), ("--tokens",)):
        line = [sys.executable, "-m", "vault_etl", "keys", "rotate", *rotation, "--yes"]
        subprocess.run(line, check=True, capture_output=True)
    told["rotate"], done = _spent(lambda: lake.rotate(spark, place, reason="a benchmark"))
    if not plain.count() == sealed.rows == seen.rows or done.parts_written != len(seen.files):
        sys.exit("not all rows were sealed, opened and rotated")
    spark.stop()
    sys.stdout.write(json.dumps(told))


def _spent(act: Callable[[], Made]) -> tuple[Spent, Made]:
    began, cpu = time.monotonic(), _cpu()
    made = act()
    return {"seconds": time.monotonic() - began, "cpu": _cpu() - cpu}, made


def _cpu() -> float:
    """Return the CPU time of this process and of all that it started and that still run: the executors' too."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    main()
