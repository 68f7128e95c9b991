"""Months of records: listed, detached, attached, archived, restored, dropped."""
