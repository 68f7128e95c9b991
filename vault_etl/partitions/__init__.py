"""Months of records: list, detach, attach, archive, restore and drop them."""
