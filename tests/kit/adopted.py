"""A table of logins that existed before vault-etl, and both tables read as one."""

from __future__ import annotations

BOTH = """
SELECT masked_by, user_id, masked_ip, masked_device_id, app_version, create_date::text, record_id
FROM adopted.user_logins_all ORDER BY user_id
"""


EXERCISE = """
CREATE TABLE user_logins (
    user_id varchar(128), device_type varchar(32), masked_ip varchar(256), masked_device_id varchar(256),
    locale varchar(32), app_version integer, create_date date
);
INSERT INTO user_logins VALUES
    ('u1', 'android', repeat('a', 64), repeat('b', 64), 'RU', 230, '2026-11-01'), (NULL, 'ios', 'c', 'd', NULL, 1, NULL)
"""
