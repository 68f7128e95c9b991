"""The statements with which `re-encrypt` claims and frees a range."""

from __future__ import annotations

import psycopg2

CLAIM = "CALL public.commit_rotation_claim(%s, %s, %s, NULL, NULL, NULL, NULL)"


RELEASE = "CALL public.commit_rotation_free(%s, %s, %s::bigint[], NULL)"


Denied = psycopg2.errors.InsufficientPrivilege
