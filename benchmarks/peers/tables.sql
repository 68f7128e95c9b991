-- The tables of the peers, in a database of their own.

-- The table of the take-home approach: digests of values, and no index.
CREATE TABLE user_logins (
    user_id varchar(128),
    device_type varchar(32),
    masked_ip varchar(256),
    masked_device_id varchar(256),
    locale varchar(32),
    app_version varchar(32),
    create_date date
);

-- The columns and indexes of vault-etl's own table, without its partitions, checks and triggers.
CREATE TABLE sealed_logins (
    message_id uuid PRIMARY KEY,
    user_id text NOT NULL,
    device_type text NOT NULL,
    masked_ip uuid NOT NULL,
    masked_device_id uuid NOT NULL,
    ip_ciphertext bytea NOT NULL,
    device_id_ciphertext bytea NOT NULL,
    locale text,
    app_version text NOT NULL,
    create_date date NOT NULL
);
CREATE INDEX ON sealed_logins (masked_ip);
CREATE INDEX ON sealed_logins (masked_device_id);
CREATE INDEX ON sealed_logins (user_id);
CREATE INDEX ON sealed_logins (create_date);
