"""The vault on Spark: tokens as columns of data frames, and sets that executors seal, open and rotate.

docs/how-to/spark.md shows how. Every process, the driver and the executors, has its own settings and credentials.
"""

from __future__ import annotations

from vault_etl.spark.parquet_open import OpenedSet, open_set
from vault_etl.spark.parquet_read import read
from vault_etl.spark.parquet_rotate import RotatedSet, rotate
from vault_etl.spark.parquet_seal import SealedSet, seal
from vault_etl.spark.parquet_tokens import tokenize

__all__ = [
    "OpenedSet",
    "RotatedSet",
    "SealedSet",
    "open_set",
    "read",
    "rotate",
    "seal",
    "tokenize",
]
