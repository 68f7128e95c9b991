"""A Spark cluster of this machine: a driver, and two executors with processes of their own, for one program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.kit.vault import Vault

REPOSITORY: Final = Path(__file__).parents[2]
INSTALLED: Final = Path(sys.prefix) / "spark"
"""What `make spark` installs."""

SECONDS: Final = 500

QUICK_JAVA: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""No optimising compiler, which a program of seconds does not repay."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program told, and the folder with all that Spark wrote: the event log, and the logs of all processes."""

    told: Mapping[str, Any]
    home: Path
    output: str

    def files(self) -> list[Path]:
        """All files that Spark wrote."""
        return [path for path in self.home.rglob("*") if path.is_file() and not path.is_symlink()]

    def event_log(self) -> list[dict[str, Any]]:
        """The events of the log, which has the plans too."""
        (log,) = (path for path in (self.home / "events").rglob("*") if path.is_file())
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def run(vault: Vault, role: str, program: Path, home: Path, *args: str) -> Ran:
    """Run a driver program with the credentials of a role; it prints one line of JSON."""
    (packages,) = INSTALLED.glob("lib/python3.*/site-packages")
    spark_home = home / "spark"  # its workers write into `work`
    spark_home.mkdir()
    for each in (packages / "pyspark").iterdir():
        if each.name != "work":
            (spark_home / each.name).symlink_to(each)
    conf = spark_home.parent / "conf"
    conf.mkdir()
    (home / "events").mkdir()
    (conf / "spark-defaults.conf").write_text(
        f"""
        spark.master local-cluster[2,1,1024]
        spark.ui.enabled false
        spark.ui.showConsoleProgress false
        spark.driver.bindAddress 127.0.0.1
        spark.driver.host 127.0.0.1
        spark.driver.memory 512m
        spark.executor.memory 512m
        spark.driver.extraJavaOptions {QUICK_JAVA}
        spark.executor.extraJavaOptions {QUICK_JAVA}
        spark.sql.codegen.wholeStage false
        spark.eventLog.enabled true
        spark.eventLog.compress false
        spark.eventLog.rolling.enabled false
        spark.eventLog.dir file://{home}/events
        spark.speculation true
        spark.task.maxFailures 2
        spark.sql.shuffle.partitions 1
        spark.sql.files.openCostInBytes 134217728
        """,
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(program), *args],
        env={
            **vault.environment(role),
            "PYTHONPATH": f"{packages}:{REPOSITORY}",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_CONF_DIR": str(conf),
            "SPARK_HOME": str(spark_home),
            "SPARK_LOCAL_DIRS": str(home / "local"),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return Ran(json.loads(done.stdout.splitlines()[-1]), home, done.stdout + done.stderr)
