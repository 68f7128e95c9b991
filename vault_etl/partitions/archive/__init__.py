"""A month in Parquet files: written, proved, read, restored."""
