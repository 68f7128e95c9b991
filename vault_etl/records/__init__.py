"""Sealed records: what a batch becomes, and how the batch is written."""
