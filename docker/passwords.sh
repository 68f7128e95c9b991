#!/bin/sh
# The service `passwords` of docker-compose.yml: a random password for each login, made once.
set -eu
umask 077
for login in owner worker auditor grafana; do
    file=/var/lib/vault-etl/$login/password
    [ -s "$file" ] || python -c 'import secrets; print(secrets.token_urlsafe(32), end="")' >"$file"
done
