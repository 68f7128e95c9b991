"""Sealed records, their months, and the writes that store them."""
