#!/bin/sh
# The service `setup` of docker-compose.yml: everything that the worker needs. Safe to repeat; the second run changes nothing.
set -eu
kept=/var/lib/vault-etl/keys # the emulated keys of KMS, which an emulator that starts again needs

python keys/provision_emulator.py --keep-keys "$kept"
vault-etl migrate
python docker/logins.py /var/lib/vault-etl/worker/password worker vault_etl_ingest
python docker/logins.py /var/lib/vault-etl/auditor/password auditor vault_etl_audit
vault-etl audit checkpoint
vault-etl keys init
if [ ! -e "$kept/seeded" ]; then
    vault-etl local seed samples/login-events.jsonl
    touch "$kept/seeded"
fi
