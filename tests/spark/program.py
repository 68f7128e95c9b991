"""A driver program, which the tests start: every function of `vault_etl.spark`, on one cluster. Prints JSON."""

from __future__ import annotations

import json
import sys
import time

from pyspark.sql import SparkSession

from vault_etl.spark import tokenize

started = time.monotonic()
seconds = {}
spark = SparkSession.builder.appName("vault-etl").getOrCreate()
seconds["session"] = time.monotonic() - started
frame = spark.read.json(sys.argv[1], "user_id string, ip string, device_id string").repartition(2)
tokens = tokenize(frame, {"ip": "ip", "device_id": "device_id"}).drop("ip", "device_id")
told = {
    "tokens": [
        [
            row.user_id,
            row.ip_token and row.ip_token.hex(),
            row.device_id_token and row.device_id_token.hex(),
        ]
        for row in tokens.collect()
    ],
    "plan": tokens._jdf.queryExecution().toString(),
}
seconds["tokens"] = time.monotonic() - started
spark.stop()
seconds["end"] = time.monotonic() - started
sys.stdout.write(json.dumps({**told, "seconds": seconds}))
