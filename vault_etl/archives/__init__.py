"""Sealed Parquet: the manifest of a folder of parts, its signature, and the rows and columns of the parts."""
