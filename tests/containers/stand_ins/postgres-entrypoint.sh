#!/bin/bash
# Begins as root, as the real image does, and continues as the user postgres.
set -euo pipefail
sockets=/var/run/postgresql

if [[ $(id -u) == 0 ]]; then
    mkdir -p "$PGDATA"
    chown postgres "$PGDATA" "$sockets"
    chmod 700 "$PGDATA"
    POSTGRES_PASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"
    export POSTGRES_PASSWORD
    exec setpriv --reuid=postgres --regid=postgres --clear-groups bash "$0"
fi
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --wait start -o "-c listen_addresses='' -c unix_socket_directories=$sockets" >/dev/null
    createdb --host="$sockets" --username=postgres "$POSTGRES_DB"
    pg_ctl --wait --mode=fast stop >/dev/null
fi
unset POSTGRES_PASSWORD
exec postgres -c 'listen_addresses=*' -c unix_socket_directories="$sockets"
