"""Postgres, AWS, the clock, SQL blocks, backoff: what the slices run on."""
