"""An SQS-compatible queue for benchmarks: one process that takes little of a core."""
