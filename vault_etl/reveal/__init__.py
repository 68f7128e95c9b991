"""Looks at personal values: reveal, find, tokens, duplicates."""
