"""A driver program, which the tests start: every function of `vault_etl.spark`, on one cluster. Writes JSON."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from tests.spark.attack import attack
from vault_etl import spark as lake
from vault_etl.archives.manifest import rewritten_part_name
from vault_etl.archives.sets import mark_of
from vault_etl.base.errors import VaultEtlError
from vault_etl.spark import process
from vault_etl.spark.parquet_jobs import ATTEMPTS

COLUMNS = "user_id string, app_version string, device_type string, ip string, locale string, device_id string"


class Program:
    """The steps, each of which tells what it found."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.told: dict[str, Any] = {"seconds": {}}
        self.spark = SparkSession.builder.appName("vault-etl").getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")

    def become(self, role: str) -> None:
        """Give this process, and the Python workers from now on, the credentials of another role."""
        environment = self.asked["roles"][role]
        os.environ.update(environment)
        self.spark.sparkContext.environment.update(environment)
        process._made.cache_clear()

    def run(self, *steps: str) -> None:
        """Run steps in their order."""
        for step in steps:
            started = time.monotonic()
            self.told[step] = getattr(self, step)()
            self.told["seconds"][step] = round(time.monotonic() - started, 1)

    def plain(self) -> DataFrame:
        """Read the files of plaintext, each as one partition."""
        return self.spark.read.json(self.asked["plain"], COLUMNS)

    def tokens(self) -> object:
        """Make the tokens of a file of plaintext, as columns."""
        tokens = lake.tokenize(self.plain(), {"ip": "ip", "device_id": "device_id"})
        return [
            [each and each.hex() for each in (row.ip_token, row.device_id_token)]
            for row in tokens.drop("ip", "device_id").collect()
        ]

    def seal(self) -> object:
        """Seal the same files. An executor is killed when a task of it has read its rows."""
        killed = functools.partial(_killed, self.asked["marks"], self.asked["set"])
        frame = self.plain().mapInArrow(killed, COLUMNS)
        made = lake.seal(frame, self.asked["set"], sent=dt.date(2026, 1, 1))
        for copy in ("sealed", "changed"):
            shutil.copytree(self.asked["set"], self.asked[copy])
        part = min(Path(self.asked["changed"]).glob("part-*"))
        part.write_bytes(part.read_bytes()[:-1] + b"?")
        return [str(made.set_id), made.manifest_sha256.hex(), made.rows, made.quarantined]

    def read(self) -> object:
        """Join the set with the tokens of the file."""
        tokens = lake.tokenize(self.plain(), {"ip": "ip"}).select("ip_token")
        sealed = lake.read(self.spark, self.asked["set"])
        return sealed.join(tokens, sealed.masked_ip == tokens.ip_token).count()

    def open(self) -> object:
        """Open the set, after an attempt that the policy denies, and what a function of a user gets without it."""
        self.become("reveal")
        (attacked,) = self.spark.range(1).mapInArrow(attack, "told string").collect()
        made = lake.open_set(self.spark, self.asked["set"], self.asked["opened"], reason="case 12")
        return {
            "files": made.files,
            "rows": made.rows,
            "seqs": made.audit_seqs,
            "attack": json.loads(attacked.told),
        }

    def refused(self) -> object:
        """Open a set of which a part was changed, and one with more rows than the quota has."""
        return [self.error_of(self.asked[place]) for place in ("changed", "set")]

    def error_of(self, place: str) -> object:
        """Open a set that must not open, and tell the error."""
        try:
            return lake.open_set(self.spark, place, self.asked["refused"], reason="case 13").files
        except VaultEtlError as error:
            return [type(error).__name__, str(error)]

    def rotate(self) -> object:
        """Rotate the set and the archive of a month, after the keys."""
        for command in ("keys rotate --lazy", "keys rotate --tokens"):
            role = "rotate" if command.endswith("lazy") else "re-encrypt"
            line = [sys.executable, "-m", "vault_etl", *command.split(), "--yes"]
            subprocess.run(line, env=self.asked["roles"][role], check=True, capture_output=True)
        self.become("re-encrypt")
        told = []
        for place in (self.asked["set"], self.asked["month"], self.asked["set"]):
            made = lake.rotate(self.spark, place, reason="yearly")
            told.append([made.version, made.manifest_sha256.hex(), made.parts_written])
        return told

    def month(self) -> object:
        """Open the archive of the month, and a copy of the set as it was before its rotation."""
        self.become("reveal")
        made = lake.open_set(
            self.spark,
            self.asked["month"],
            self.asked["month_opened"],
            reason="case 14",
            fields=["ip"],
        )
        return {"files": made.files, "old": self.error_of(self.asked["sealed"])}


def _killed(marks: str, place: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass the rows. One attempt at partition 0 kills its executor, and another attempt leaves a file.

    The file is that of the slower one of two attempts. Spark itself makes no second attempt on the same host.
    """
    yield from batches
    if TaskContext.get().partitionId() == 0 and _is_first(marks, "killed"):
        Path(place).mkdir(mode=0o700, exist_ok=True)
        (Path(place) / rewritten_part_name(1, mark_of(1, ATTEMPTS - 1))).touch()
        next(each for each in psutil.Process().parents() if each.name() == "java").kill()
        time.sleep(60)


def _is_first(marks: str, name: str) -> bool:
    try:
        (Path(marks) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def main() -> None:
    """Run the steps that the arguments name."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    program = Program(asked)
    try:
        program.run(*sys.argv[2:])
    finally:
        program.spark.stop()
    sys.stdout.write(json.dumps(program.told))


if __name__ == "__main__":
    main()
