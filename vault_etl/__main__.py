"""`python -m vault_etl` is `vault-etl`."""

from vault_etl.cli.main import main

if __name__ == "__main__":
    main()
