"""The statements with which `re-encrypt` claims and frees a range."""

from __future__ import annotations

import psycopg2

CLAIM = "CALL vault_etl.commit_rotation_claim(%s, %s, %s, NULL, NULL, NULL, NULL)"


RELEASE = "CALL vault_etl.commit_rotation_free(%s, %s, %s::bigint[], NULL)"


Denied = psycopg2.errors.InsufficientPrivilege
