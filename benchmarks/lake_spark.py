"""`vault_etl.spark` beside Spark reading and writing the plaintext, on a cluster of two executors of this machine.

The embedded stack answers for Postgres and KMS. `make spark` installs Spark; Java is the system's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.lake_program import made_up
from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import embedded_stack

BENCH: Final = "lake-spark"
COPY: Final = "Spark reads and writes"
ACTS: Final = ("seal", "open", "rotate")
RATE: Final = "rows/s"
CPU: Final = "CPU µs a row"
EXECUTORS: Final = 2

_TIMES: Final = 16
"""More rows than other benches have: the jobs of Spark take seconds without any."""
_DATABASE: Final = "vault_etl"
_INSTALLED: Final = Path(sys.prefix) / "spark"
_SETTINGS: Final = f"""
spark.master local-cluster[{EXECUTORS},1,2048]
spark.driver.bindAddress 127.0.0.1
spark.driver.host 127.0.0.1
spark.driver.memory 1g
spark.executor.memory 1g
spark.ui.enabled false
spark.ui.showConsoleProgress false
spark.sql.files.openCostInBytes 134217728
spark.sql.parquet.compression.codec zstd
"""


def run(size: Size) -> Iterator[Result]:
    """Do each act `size.rounds` times in turn, each round on a vault of its own."""
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for number in range(size.rounds):
        for act, figures in _figures(_TIMES * size.rows).items():
            samples[act].append(figures)
        size.say(f"round {number + 1} of {size.rounds}")
    yield from median_results(BENCH, samples, [(act, COPY) for act in ACTS])


def _figures(rows: int) -> Mapping[str, Mapping[str, float]]:
    """Run the program on so many rows in two files for each executor, and return what each act took."""
    with tempfile.TemporaryDirectory() as temporary, embedded_stack() as stack:
        home = Path(temporary)
        files = 2 * EXECUTORS
        (home / "plain").mkdir()
        for number in range(files):
            made_up(home / "plain" / f"{number}.parquet", rows // files, number * rows // files)
        policy = {"reveals_an_hour": 2 * rows, "purposes": {}}
        stack.sql(
            _DATABASE,
            "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'set',"
            f" '{json.dumps(policy)}')",
        )
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.lake_spark_program", str(home)],
            env={**os.environ, **stack.on(_DATABASE), **_spark(home)},
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        act: {RATE: rows / spent["seconds"], CPU: spent["cpu"] / rows * 1e6}
        for act, spent in told.items()
    }


def _spark(home: Path) -> Mapping[str, str]:
    """Return the variables of Spark, whose home is copied by links: its workers write into it."""
    (packages,) = _INSTALLED.glob("lib/python3.*/site-packages")
    spark_home, settings = home / "spark", home / "conf"
    spark_home.mkdir()
    for each in (packages / "pyspark").iterdir():
        (spark_home / each.name).symlink_to(each)
    settings.mkdir()
    (settings / "spark-defaults.conf").write_text(_SETTINGS, encoding="utf-8")
    return {
        "PYTHONPATH": f"{packages}:{Path(__file__).parents[1]}",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(settings),
        "SPARK_HOME": str(spark_home),
        "SPARK_LOCAL_DIRS": str(home / "local"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
