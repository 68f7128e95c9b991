"""Accesses to personal values: reveal, find, tokens and duplicates."""
