-- Run once by the Postgres image, before the migrations: the worker's own login, with the ingest role alone.
CREATE ROLE vault_etl_ingest NOLOGIN;
CREATE ROLE vault_etl_analyst NOLOGIN;
CREATE ROLE worker LOGIN PASSWORD 'worker' IN ROLE vault_etl_ingest;
CREATE ROLE analyst LOGIN PASSWORD 'analyst' IN ROLE vault_etl_analyst;
