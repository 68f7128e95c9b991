"""Data keys and token keys: their ring, leases, the KMS, init, rewrap and destroy."""
