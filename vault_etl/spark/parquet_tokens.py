"""Tokens as columns of a data frame."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from vault_etl.base.errors import UsageError
from vault_etl.crypto.fields import FieldName
from vault_etl.lake.parquet_batches import BatchTokens
from vault_etl.spark.errors import task_errors
from vault_etl.spark.process import process_vault

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SUFFIX: Final = "_token"


class _Wanted(NamedTuple):
    """A field, or a derived form of one, and the generation of its tokens."""

    name: FieldName
    generation: int


def tokenize(frame: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """Return the frame with a column `NAME_token` behind its own for each of these columns: 16 bytes, or null.

    `columns` has the field, or the derived form such as `ip/network`, of each column. A null has no token, and neither
    has a value that the field cannot hold. All tokens are of the generation that is active now. The frame is lazy:
    executors make tokens, with the login and the AWS role of their own environment, which need the role ingest. That
    leaves no entry in the audit log, as sealing leaves none.

    Raises UsageError for an unknown column or field.
    """
    vault = process_vault()
    wanted = dict[str, _Wanted]()
    for column, name in columns.items():
        if column not in frame.columns or f"{column}{SUFFIX}" in frame.columns:
            message = f"the frame has no column {column}, or already has {column}{SUFFIX}"
            raise UsageError(message, hint="rename a column")
        if name not in vault.searched:
            message = f"no field and no derived form is called {name}"
            raise UsageError(message, hint=f"there are: {', '.join(vault.searched)}")
        field = vault.searched[FieldName(name)].field.name
        wanted[column] = _Wanted(FieldName(name), vault.active_generation(field))
    schema = copy.deepcopy(frame.schema)
    for column in wanted:
        schema.add(f"{column}{SUFFIX}", "binary")
    return frame.mapInArrow(functools.partial(_with_tokens, wanted), schema)


def _with_tokens(wanted: Mapping[str, _Wanted], batches: Iterable[Any]) -> Iterator[Any]:
    """Add the columns of tokens. Runs on an executor."""
    with task_errors():
        vault = process_vault()
        for batch in batches:
            for column, (name, generation) in wanted.items():
                one = vault.searched[name]
                maker = BatchTokens(vault.field_tokenizer(one.field.name, generation), one)
                tokens, _ = maker.tokens(batch[column])
                # Spark has no UUID and no bytes of a fixed length.
                batch = batch.append_column(  # noqa: PLW2901
                    f"{column}{SUFFIX}", tokens.storage.cast(pa.binary())
                )
            yield batch
