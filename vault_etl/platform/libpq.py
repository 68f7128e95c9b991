"""The libpq that psycopg2 is linked with, for what psycopg2 does not offer; connections pass by `pgconn_ptr`."""

from __future__ import annotations

import ctypes
import functools
from typing import Final

from psycopg2 import _psycopg

SQLSTATE, DETAIL, CONSTRAINT = b"C", b"D", b"n"
"""Fields of an error (PG_DIAG_…)."""

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p

_DECLARED: Final = {
    "PQsetErrorVerbosity": (_INT, [_POINTER, _INT]),
    "PQreset": (None, [_POINTER]),
    "PQexecParams": (
        _POINTER,
        [_POINTER, _TEXT, _INT, _POINTER, ctypes.POINTER(_TEXT), _POINTER, _POINTER, _INT],
    ),
    "PQresultStatus": (_INT, [_POINTER]),
    "PQresultErrorField": (_TEXT, [_POINTER, _INT]),
    "PQntuples": (_INT, [_POINTER]),
    "PQnfields": (_INT, [_POINTER]),
    "PQftype": (ctypes.c_uint, [_POINTER, _INT]),
    "PQgetisnull": (_INT, [_POINTER, _INT, _INT]),
    "PQgetvalue": (_TEXT, [_POINTER, _INT, _INT]),
    "PQclear": (None, [_POINTER]),
}
"""Function → its result and its parameters, as in libpq-fe.h."""


@functools.cache
def libpq() -> ctypes.CDLL | None:
    """Find it, and declare what we call; None where its symbols are hidden."""
    # A symbol is looked for in what a library is linked with, too.
    library = ctypes.CDLL(_psycopg.__file__)
    try:
        for name, (result, parameters) in _DECLARED.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
    except AttributeError:
        return None
    return library
