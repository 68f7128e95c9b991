"""Metrics of an ingest for Prometheus, of one process or of several workers."""
