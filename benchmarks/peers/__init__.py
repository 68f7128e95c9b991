"""The alternatives that vault-etl is compared with, each as it would be written with care."""
