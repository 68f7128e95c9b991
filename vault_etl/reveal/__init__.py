"""Accesses to personal values: reveal, find and tokens; and duplicates, which is no access."""
