"""The decisions of an ingest, and their times: pure, with no I/O."""
