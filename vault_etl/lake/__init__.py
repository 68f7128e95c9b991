"""Sets of Parquet files: seal, open, rotate, erase and verify them."""
