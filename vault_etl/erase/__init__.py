"""Erasure of a record or of a person."""
