-- The cut-over to the tokens of the pending generation, which ends its rotation.

SET LOCAL ROLE vault_etl_owner;

CREATE FUNCTION vault_etl.token_cut_over_wait(deadline timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config(
        'lock_timeout',
        greatest(1, (extract(epoch FROM deadline - clock_timestamp()) * 1000)::integer) || 'ms',
        true
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.token_cut_over_wait(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.token_cut_over_wait(timestamptz) IS
    'Sets lock_timeout to what is left until the deadline, so that all waits together end by then.';

CREATE FUNCTION vault_etl.token_publications() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT 'publication ' || p.pubname FROM pg_publication_tables AS p
    WHERE p.schemaname = 'vault_etl' AND (
        p.tablename IN ({{ events|map(attribute='name')|map('literal')|join(', ') }})
        OR p.tablename IN (SELECT r.partition FROM vault_etl.partition_ranges() AS r)
    )
    UNION ALL
    SELECT 'replication slot ' || s.slot_name FROM pg_replication_slots AS s
    WHERE s.slot_type = 'logical' AND s.plugin <> 'pgoutput' AND s.database = current_database()
    ORDER BY 1
$$;
REVOKE ALL ON FUNCTION vault_etl.token_publications() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_publications() TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_publications() IS
    'Returns what carries rows of events elsewhere by logical replication: a cut-over arrives there as '
    'rows of another generation, and not as new names of columns. Slots of pgoutput carry what publications '
    'name.';

CREATE FUNCTION vault_etl.token_columns() RETURNS TABLE (parent regclass, relation oid, name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.parent::regclass, r.relation, c.name
    FROM (VALUES
--% for event in events
--% for column in event.tokens
        ('vault_etl.{{ event.name }}', {{ column|literal }}),
--% endfor
        ('vault_etl.{{ event.name }}', 'token_generation'){{ ',' if not loop.last }}
--% endfor
    ) AS c (parent, name), LATERAL (
        SELECT c.parent::regclass::oid UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = c.parent::regclass
    ) AS r (relation)
$$;
REVOKE ALL ON FUNCTION vault_etl.token_columns() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_columns() TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_columns() IS
    'Returns the columns that a cut-over swaps with next_…, of the table of each event and of its partitions.';

-- How a cut-over goes. First each partition is kept from autovacuum, by a lock that no reader and no writer waits for. A
-- session that waits for a lock cancels the autovacuum that holds it, but only after `deadlock_timeout` (1 s), which a
-- superuser alone may shorten; an autovacuum that comes later skips the partition. Then all other locks together are waited
-- for 200 ms, because loaders wait behind the first of them: the fence, the end of the log, the view, the table, its
-- partitions. Rows of keys and of the rotation are not waited for at all.
--
-- Whether old and new tokens map one to one is checked before, because that takes longer than any session should wait.
-- `checked` are the partitions that the check read.
CREATE FUNCTION vault_etl.token_cut_over(
    request_id uuid, actor text, host text, reason text, new_generation smallint,
    allow_publication boolean DEFAULT false, checked oid[] DEFAULT NULL
) RETURNS TABLE (seq bigint, hash bytea, held_ms double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    deadline timestamptz;
    granted_at timestamptz;
    changed bigint[];
    partitions oid[];
    relation oid;
    name text;
    dependents text;
    definitions text[];
    place regclass;
    grants text[];
    statement text;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a cut-over is made in READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF allow_publication IS NOT TRUE AND EXISTS (SELECT FROM vault_etl.token_publications()) THEN
        RAISE EXCEPTION 'the table is published'
            USING ERRCODE = 'dependent_objects_still_exist',
            DETAIL = (SELECT string_agg(p, ', ') FROM vault_etl.token_publications() AS p);
    END IF;
    FOR relation IN
        SELECT DISTINCT t.relation FROM vault_etl.token_columns() AS t WHERE t.relation <> t.parent ORDER BY 1
    LOOP
        PERFORM vault_etl.token_cut_over_wait(
            clock_timestamp() + current_setting('deadlock_timeout')::interval + interval '1 s'
        );
        EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation::regclass);
    END LOOP;
    deadline := clock_timestamp() + interval '200 ms';
    PERFORM vault_etl.token_cut_over_wait(deadline);
    LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE;
    granted_at := clock_timestamp();
    IF {{ fields|length }} <> (
        SELECT count(*) FROM vault_etl.data_keys
        WHERE purpose = 'token' AND state = 'pending' AND generation = new_generation
    ) THEN
        RAISE EXCEPTION 'generation % is not pending', new_generation
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM FROM vault_etl.data_keys WHERE purpose = 'token' AND state <> 'destroyed' FOR UPDATE NOWAIT;
    changed := ARRAY(
        SELECT key_id FROM vault_etl.data_keys WHERE purpose = 'token' AND state IN ('active', 'pending')
    );
    IF EXISTS (
        SELECT FROM vault_etl.unexplained_keys(ARRAY(
            SELECT key_id FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'pending'
        ))
    ) THEN
        RAISE EXCEPTION 'no entry of the audit log made generation % pending', new_generation
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM FROM vault_etl.key_rotations AS k JOIN vault_etl.rotation_ranges AS r USING (rotation_id)
    WHERE k.purpose = 'token' FOR UPDATE NOWAIT;
    PERFORM vault_etl.token_cut_over_wait(deadline);
    PERFORM vault_etl.audit_lock();
    -- LOCK TABLE would go on from the view to the table and each partition, 200 ms for each. This locks the view
    -- alone, and changes nothing.
--% for event in events
    PERFORM vault_etl.token_cut_over_wait(deadline);
    ALTER VIEW vault_etl.{{ event.name.plus('_masked') }} OWNER TO vault_etl_owner;
--% endfor
--% for event in events
    PERFORM vault_etl.token_cut_over_wait(deadline);
    LOCK TABLE ONLY vault_etl.{{ event.name }} IN ACCESS EXCLUSIVE MODE;
--% endfor
    partitions := ARRAY(
        SELECT DISTINCT t.relation FROM vault_etl.token_columns() AS t WHERE t.relation <> t.parent ORDER BY 1
    );
    FOREACH relation IN ARRAY partitions LOOP
        PERFORM vault_etl.token_cut_over_wait(deadline);
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation::regclass);
    END LOOP;

    IF EXISTS (
        SELECT FROM unnest(partitions) AS r (relation) WHERE r.relation <> ALL (checked) AND pg_relation_size(r.relation) > 0
    ) THEN
        RAISE EXCEPTION 'a month was attached after the check' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') INTO dependents
    FROM pg_depend AS d
    JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    JOIN vault_etl.token_columns() AS t ON t.relation = d.refobjid AND a.attname IN (t.name, 'next_' || t.name)
    WHERE d.refclassid = 'pg_class'::regclass
        AND NOT EXISTS (  -- an index stays with its column, and serves it under the new name
            SELECT FROM pg_class AS c
            WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I')
        )
        AND NOT EXISTS (  -- the constraint is made again below
            SELECT FROM pg_constraint AS c
            WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
                AND c.conname = 'tokens_of_one_generation'
        )
        AND NOT EXISTS (  -- the views are made again below; a temporary one ends with its session
            SELECT FROM pg_rewrite AS w JOIN pg_class AS c ON c.oid = w.ev_class
            WHERE d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
                AND (
                    c.relpersistence = 't' OR c.oid IN (
--% for event in events
                        'vault_etl.{{ event.name.plus('_masked') }}'::regclass{{ ',' if not loop.last }}
--% endfor
                    )
                )
        )
        AND NOT EXISTS (
            SELECT FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
            WHERE d.classid = 'pg_proc'::regclass AND f.oid = d.objid AND n.nspname ~ '^pg_temp_'
        );
    IF dependents IS NOT NULL THEN
        RAISE EXCEPTION 'other objects depend on the token columns'
            USING ERRCODE = 'dependent_objects_still_exist', DETAIL = dependents;
    END IF;

    -- The definitions of now, by name: an owner may have narrowed a view since it was made.
    definitions := ARRAY(
        SELECT format(
            'CREATE OR REPLACE VIEW %s %s AS %s',
            c.oid::regclass, 'WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid)
        )
        FROM pg_class AS c WHERE c.oid IN (
--% for event in events
            'vault_etl.{{ event.name.plus('_masked') }}'::regclass{{ ',' if not loop.last }}
--% endfor
        )
    );

    -- Rights belong to a column and not to its name, so they are revoked, and granted again by name. A right that a
    -- role with the grant option gave comes from the owner afterwards.
    grants := ARRAY(
        SELECT format(
            'GRANT %s (%I) ON %s TO %s%s', acl.privilege_type, a.attname, a.attrelid::regclass,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END,
            CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM pg_attribute AS a
        JOIN vault_etl.token_columns() AS t ON t.relation = a.attrelid AND a.attname IN (t.name, 'next_' || t.name),
            aclexplode(a.attacl) AS acl
    );
    FOR statement IN
        SELECT DISTINCT format(
            'REVOKE ALL (%I) ON %s FROM %s CASCADE', a.attname, a.attrelid::regclass,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        )
        FROM pg_attribute AS a
        JOIN vault_etl.token_columns() AS t ON t.relation = a.attrelid AND a.attname IN (t.name, 'next_' || t.name),
            aclexplode(a.attacl) AS acl
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR place, name IN SELECT t.parent, t.name FROM vault_etl.token_columns() AS t WHERE t.relation = t.parent LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', place, name, '_' || name);
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', place, 'next_' || name, name);
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', place, '_' || name, 'next_' || name);
    END LOOP;
--% for event in events
    -- NOT VALID reads no row. The check before the cut-over found tokens of this generation in every row.
    ALTER TABLE vault_etl.{{ event.name }} DROP CONSTRAINT IF EXISTS tokens_of_one_generation;
    EXECUTE format(
        'ALTER TABLE vault_etl.{{ event.name }} ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = %s) NOT VALID',
        new_generation
    );
--% endfor
    FOREACH statement IN ARRAY grants LOOP
        EXECUTE statement;
    END LOOP;
--% for event in events
    FOREACH name IN ARRAY ARRAY[{{ event.tokens|map('literal')|join(', ') }}] LOOP
        EXECUTE format('ALTER INDEX vault_etl.%I RENAME TO %I', {{ event.name.plus('_')|literal }} || name, '_' || name);
        EXECUTE format(
            'ALTER INDEX vault_etl.%I RENAME TO %I', {{ event.name.plus('_next_')|literal }} || name, {{ event.name.plus('_')|literal }} || name
        );
        EXECUTE format('ALTER INDEX vault_etl.%I RENAME TO %I', '_' || name, {{ event.name.plus('_next_')|literal }} || name);
    END LOOP;
--% endfor
    -- A view is bound to columns too: the same text means the new ones from here on. Its rights stay.
    FOREACH statement IN ARRAY definitions LOOP
        EXECUTE statement;
    END LOOP;

    UPDATE vault_etl.data_keys SET state = 'decrypt_only' WHERE purpose = 'token' AND state = 'active';
    UPDATE vault_etl.data_keys SET state = 'active' WHERE purpose = 'token' AND generation = new_generation;
    DELETE FROM vault_etl.key_rotations WHERE purpose = 'token';
    outcome := vault_etl.key_change_write('keys cut-over', request_id, actor, host, reason, changed);
    RETURN QUERY SELECT outcome.seq, outcome.hash,
        extract(epoch FROM clock_timestamp() - granted_at)::double precision * 1000;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.token_cut_over(uuid, text, text, text, smallint, boolean, oid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.token_cut_over(uuid, text, text, text, smallint, boolean, oid[])
    TO vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.token_cut_over(uuid, text, text, text, smallint, boolean, oid[]) IS
    'Gives the new tokens, which are in next_…, the names of the old ones, and these the names of the new ones: '
    'in the table, in what was granted, and in the view of analysts. In the same transaction the generations '
    'change their states, and the log gets two entries, so no session sees a state in between. It is the first '
    'statement of a transaction in READ COMMITTED. Raises 55P03 after 200 ms of waiting; 55000 if the '
    'generation is not pending, or if a partition that was attached after the check holds rows; 2BP01, with '
    'their names, while other objects depend on the columns, because those would go on with the old tokens '
    'unnoticed, and while the table is published, unless allow_publication. Temporary views and functions do '
    'not count: every login can make one.';
