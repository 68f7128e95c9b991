"""Content that is no text of ours, known by its first bytes: what it is, and the shell line that reads it."""

from __future__ import annotations

from typing import Final

from vault_etl.base.errors import DataError

FIRST_BYTES: Final = 4
"""So many must be there to tell text in UTF-16 or UTF-32 from other content."""

_INTO: Final = "vault-etl ingest --file - --source NAME"

_MAGIC: Final = (
    (0, b"\x1f\x8b", "compressed with gzip", "| gzip -dc"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "| zstd -dc"),
    (0, b"\xfd7zXZ\x00", "compressed with xz", "| xz -dc"),
    (0, b"BZh", "compressed with bzip2", "| bzip2 -dc"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", "| lz4 -dc"),
    (0, b"LZIP", "compressed with lzip", "| lzip -dc"),
    (0, b"\x1f\x9d", "compressed with compress", "| uncompress -c"),
    (0, b"\xff\xfe\x00\x00", "text in UTF-32", "| iconv -f UTF-32 -t UTF-8"),
    (0, b"\x00\x00\xfe\xff", "text in UTF-32", "| iconv -f UTF-32 -t UTF-8"),
    (0, b"\xff\xfe", "text in UTF-16", "| iconv -f UTF-16 -t UTF-8"),
    (0, b"\xfe\xff", "text in UTF-16", "| iconv -f UTF-16 -t UTF-8"),
    (257, b"ustar", "a tar archive", "| tar -xOf -"),
    (30, b"[Content_Types].xml", "an Office document", None),
    (0, b"\xd0\xcf\x11\xe0", "an Office document", None),
    (0, b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
    (0, b"PK\x05\x06", "an empty zip archive", None),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so FILE"),
    (
        0,
        b"PAR1",
        "a Parquet file",
        "duckdb -c \"COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT json)\"",
    ),
    (0, b"Obj\x01", "an Avro file", "avro-tools tojson FILE"),
    (0, b"ORC", "an ORC file", None),
    (0, b"SQLite format 3", "an SQLite database", None),
    (0, b"PGDMP", "a dump of Postgres", None),
    (0, b"%PDF-", "a PDF document", None),
    (0, bytes(FIRST_BYTES), "all zero bytes at its beginning, as an empty tar archive", None),
    (0, b"<", "XML or HTML, as an error page", None),
)
"""Where which bytes are, what it is then, and what makes JSON lines of it: after `|` a filter."""

_NULS: Final[dict[tuple[bool, ...], str]] = {
    (True, False, True, False): "UTF-16BE",
    (False, True, False, True): "UTF-16LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, True, True): "UTF-32LE",
}
"""Which of the first four bytes are zero in JSON without a byte order mark (RFC 4627, section 3)."""


def refuse_foreign(name: str, head: bytes) -> None:
    """Raise DataError if content that begins with `head` is none that is read, whatever else is in it."""
    for offset, magic, what, way in _MAGIC:
        if head.startswith(magic, offset):
            raise foreign(name, what, way)
    encoding = _NULS.get(tuple(byte == 0 for byte in head[:FIRST_BYTES]))
    if encoding:
        raise foreign(name, f"text in {encoding[:6]}", f"| iconv -f {encoding} -t UTF-8")


def foreign(name: str, what: str, way: str | None) -> DataError:
    """The error for content that is `what`; `way` makes text of ours of it, after `|` as a filter."""
    hint = _shell_line(name, way) if way else "save it as JSON lines or CSV, in UTF-8"
    return DataError(f"{name} is {what}: nothing was loaded", hint=hint)


def _shell_line(name: str, way: str) -> str:
    """A filter reads what is decompressed already, by the file's name."""
    if not way.startswith("|"):
        return f"{way} | {_INTO}"
    read = {"gz": "gzip -dc FILE ", "st": "zstd -dc FILE "}.get(name[-2:])
    if name == "standard input":
        return f"… {way} | {_INTO}"
    return f"{read}{way} | {_INTO}" if read else f"{way[2:]} < FILE | {_INTO}"
