"""Data keys and tokens replaced while the loaders run."""
