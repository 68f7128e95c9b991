"""What an ingest decides, and when: pure, with no I/O."""
