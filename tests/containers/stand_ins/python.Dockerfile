# Stands in for python:3.13-slim: `debian` is imported from Debian's packages.
FROM localhost/vault-etl-debian
RUN python3 -m venv --copies /usr/local
