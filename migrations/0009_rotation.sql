-- Rotations that are under way, how far they are, and the cut-over to a new generation of tokens.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.key_rotations (
    purpose text NOT NULL CHECK (purpose IN ('data', 'token', 'month')),
    rotation_id uuid PRIMARY KEY,
    fields text[] NOT NULL CHECK (
        fields <@ ARRAY['device_id', 'ip', 'quarantine'] AND coalesce(array_ndims(fields), 0) = 1
    ),
    old_keys bigint[] NOT NULL CHECK (coalesce(array_ndims(old_keys), 1) = 1),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of a detached month, whose rows get tokens of the active generation.
    month uuid REFERENCES public.closed_months ON DELETE CASCADE,
    CONSTRAINT months_have_one CHECK ((purpose = 'month') = (month IS NOT NULL)),
    -- Each range's entry has them, and tokens are made of both.
    CONSTRAINT tokens_are_of_both CHECK (
        purpose = 'data' OR fields @> ARRAY['device_id', 'ip'] AND cardinality(fields) = 2
    ),
    CONSTRAINT one_of_each UNIQUE NULLS NOT DISTINCT (purpose, month)
);
COMMENT ON TABLE public.key_rotations IS
    'Rotations that are under way: one of the data keys, one of the token keys, and one of each detached month at most.';

CREATE TABLE public.rotation_ranges (
    rotation_id uuid NOT NULL REFERENCES public.key_rotations (rotation_id) ON DELETE CASCADE,
    place text NOT NULL CHECK (place IN ('user_logins', 'quarantine')),
    first uuid NOT NULL,
    last uuid NOT NULL,
    after uuid,
    done boolean NOT NULL DEFAULT false,
    -- The request id of the entry that says who opens it.
    claim uuid UNIQUE,
    claimed_until timestamptz,
    -- Behind which row that entry says that the range is opened. `after` is the client's to change; this is not.
    claimed_after uuid,
    PRIMARY KEY (rotation_id, place, first)
);
COMMENT ON TABLE public.rotation_ranges IS
    'Which rows a rotation goes through, one worker a range. Everything up to `after` is done.';

GRANT SELECT ON public.key_rotations TO vault_etl_rotate, vault_etl_audit;
GRANT SELECT, INSERT (purpose, rotation_id, fields, old_keys, month), DELETE ON public.key_rotations TO vault_etl_re_encrypt;
GRANT SELECT, INSERT (rotation_id, place, first, last), UPDATE (after, done)
    ON public.rotation_ranges TO vault_etl_re_encrypt;

-- Claims a range that is not done and that no other worker has worked on for 10 s, and writes who is about to open
-- it, in one transaction: no row if there is none. `request_id` is of the run, whose intent of `keys rotate`, or of
-- `partitions retoken` for a detached month, is this login's and has no outcome yet; `claim` is new.
CREATE FUNCTION public.rotation_claim(rotation_id uuid, claim uuid, request_id uuid)
RETURNS TABLE (place text, first uuid, last uuid, after uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    run public.audit_log;
    rotation public.key_rotations;
    held public.rotation_ranges;
BEGIN
    PERFORM public.short_transaction();
    -- Held until the entry is committed: else another rotation could take its place, of other rows, under the same id.
    SELECT k.* INTO rotation FROM public.key_rotations AS k WHERE k.rotation_id = rotation_claim.rotation_id
    FOR KEY SHARE;
    SELECT l.* INTO run FROM public.audit_log AS l
    WHERE l.request_id = rotation_claim.request_id AND l.phase = 'intent' AND l.decision = 'allowed'
        AND l.action = CASE WHEN rotation.month IS NULL THEN 'keys rotate' ELSE 'partitions retoken' END
        AND l.login = session_user
        AND NOT EXISTS (
            SELECT FROM public.audit_log AS o WHERE o.request_id = rotation_claim.request_id AND o.phase = 'outcome'
        );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rotation of this login has begun under this request'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Two statements: of one, the planner may put the choice on the inner side of a join, and take it again for each
    -- row of the outer one. It then passes what it has just claimed, and claims another range too.
    SELECT r.* INTO held FROM public.rotation_ranges AS r
    WHERE r.rotation_id = rotation.rotation_id AND NOT r.done
        AND (r.claimed_until IS NULL OR r.claimed_until < clock_timestamp())
    ORDER BY r.place, r.first LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE public.rotation_ranges AS r
        SET claim = rotation_claim.claim, claimed_until = clock_timestamp() + interval '10 s', claimed_after = held.after
        WHERE r.rotation_id = held.rotation_id AND r.place = held.place AND r.first = held.first;
        PERFORM public.audit_write(
            claim, 'intent', run.actor, run.host, 'keys range', NULL::uuid,
            CASE held.place
                WHEN 'quarantine' THEN ARRAY['quarantine'] ELSE array_remove(rotation.fields, 'quarantine')
            END,
            NULL, run.request_id::text,
            format(
                'rows of %s from %s to %s%s',
                coalesce((SELECT m.partition FROM public.closed_months AS m WHERE m.first = rotation.month), held.place),
                held.first, held.last, ', behind ' || held.after
            ),
            'allowed', NULL
        );
        RETURN QUERY SELECT held.place, held.first, held.last, held.after;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION public.rotation_claim(uuid, uuid, uuid) FROM PUBLIC;

-- Moves a claimed range on, in the transaction that did a page of it, and keeps it for 10 s more. A range that
-- another worker has claimed since stays as that one has it.
CREATE FUNCTION public.rotation_move(claim uuid, after uuid, done boolean) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.rotation_ranges AS r
    SET after = coalesce(rotation_move.after, r.after), done = rotation_move.done,
        claimed_until = CASE WHEN NOT rotation_move.done THEN clock_timestamp() + interval '10 s' END
    WHERE r.claim = rotation_move.claim
$$;
REVOKE ALL ON FUNCTION public.rotation_move(uuid, uuid, boolean) FROM PUBLIC;

-- Lets go of a range that is done, or of one that is not, for others to go on with at once; and writes the outcome, if
-- the claim's intent is this login's and has none yet: how many rows were read to be opened, and under which data keys
-- they were. Of more than 32 the digest of their ids (docs/formats.md). Whether it has written it.
CREATE FUNCTION public.rotation_free(claim uuid, rows bigint, key_ids bigint[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    intent public.audit_log;
    was_done boolean;
    ids bigint[] := ARRAY(SELECT DISTINCT id FROM unnest(key_ids) AS id ORDER BY id);
    keys text := CASE
        WHEN cardinality(ids) = 0 THEN 'no data key'
        WHEN cardinality(ids) <= 32 THEN format('data keys %s', array_to_string(ids, ', '))
        ELSE format('%s data keys, SHA-256 %s', cardinality(ids), encode(sha256(
            convert_to(E'vault-etl/1/range-keys\n' || array_to_string(ids, E'\n') || E'\n', 'UTF8')
        ), 'hex'))
    END;
BEGIN
    PERFORM public.short_transaction();
    UPDATE public.rotation_ranges AS r SET claim = NULL, claimed_until = NULL, claimed_after = NULL
    WHERE r.claim = rotation_free.claim
    RETURNING r.done INTO was_done;
    SELECT l.* INTO intent FROM public.audit_log AS l
    WHERE l.request_id = claim AND l.phase = 'intent' AND l.action = 'keys range' AND l.login = session_user
        AND NOT EXISTS (SELECT FROM public.audit_log AS o WHERE o.request_id = claim AND o.phase = 'outcome');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM public.audit_write(
        claim, 'outcome', intent.actor, intent.host, intent.action, NULL::uuid, intent.fields, NULL, intent.ticket,
        format('%s rows, under %s', rows, keys), CASE WHEN was_done THEN 'done' ELSE 'failed' END,
        CASE WHEN was_done THEN NULL WHEN was_done IS NULL THEN 'lapsed' ELSE 'freed' END
    );
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.rotation_free(uuid, bigint, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    public.rotation_claim(uuid, uuid, uuid), public.rotation_move(uuid, uuid, boolean),
    public.rotation_free(uuid, bigint, bigint[])
    TO vault_etl_re_encrypt;

-- Lets the rows of a detached month have tokens of another generation: an attach that failed left the constraint of the one
-- that was active then. The next attach makes it again, and without it PostgreSQL refuses the table.
CREATE FUNCTION public.retoken_begin(month uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found regclass := (
        SELECT to_regclass(format('vault_etl_detached.%I', m.partition)) FROM public.closed_months AS m
        WHERE m.first = retoken_begin.month
    );
BEGIN
    PERFORM public.short_transaction();
    IF EXISTS (
        SELECT FROM pg_constraint AS c WHERE c.conrelid = found AND c.conname = 'tokens_of_one_generation'
    ) THEN
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT tokens_of_one_generation', found);
    END IF;
    RETURN found IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION public.retoken_begin(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.retoken_begin(uuid) TO vault_etl_re_encrypt;

-- What a lock may still be waited for, in all: each wait has what the ones before it have left.
CREATE FUNCTION public.token_cut_over_wait(deadline timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config(
        'lock_timeout',
        greatest(1, (extract(epoch FROM deadline - clock_timestamp()) * 1000)::integer) || 'ms',
        true
    );
END
$$;
REVOKE ALL ON FUNCTION public.token_cut_over_wait(timestamptz) FROM PUBLIC;

-- What carries rows of `user_logins` elsewhere by logical replication: there a cut-over comes as rows of another
-- generation, and as no new names of columns. Slots of pgoutput carry what publications name.
CREATE FUNCTION public.token_publications() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT 'publication ' || p.pubname FROM pg_publication_tables AS p
    WHERE p.schemaname = 'public' AND (
        p.tablename = 'user_logins' OR p.tablename IN (SELECT r.partition FROM public.partition_ranges() AS r)
    )
    UNION ALL
    SELECT 'replication slot ' || s.slot_name FROM pg_replication_slots AS s
    WHERE s.slot_type = 'logical' AND s.plugin <> 'pgoutput' AND s.database = current_database()
    ORDER BY 1
$$;
REVOKE ALL ON FUNCTION public.token_publications() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.token_publications() TO vault_etl_re_encrypt;

-- The new tokens, which stand in next_*, take the names of the old ones, and these theirs: in the table, in
-- what was granted, and in the analysts' view. In the same transaction the generations change their states,
-- and the log gets its two entries. Nobody sees a moment in between.
--
-- First each partition is kept from autovacuum, by a lock that no reader and no writer waits for. A session that waits
-- for a lock cancels the autovacuum that holds it, but only after `deadlock_timeout` (1 s), which a superuser alone may
-- shorten; an autovacuum that comes later skips the partition.
--
-- The transaction's first statement, in READ COMMITTED. All other locks together are waited for 200 ms, since
-- loaders wait behind the first of them: the fence, the end of the log, the view, the table, its partitions.
-- Rows of keys and of the rotation are not waited for at all. Raises 55P03 after that, 55000 if the
-- generation is not pending, and 2BP01, naming them, while other objects depend on the columns: those would
-- go on with the old tokens, unnoticed. So it does while the table is published, unless `allow_publication`. Temporary views and functions do so: every login can make one.
--
-- Whether old and new tokens map one to one was checked before: that takes longer than anybody should wait. `checked` are
-- the partitions that the check saw: one that was attached since, and holds rows, was in no check, and raises 55000.
CREATE FUNCTION public.token_cut_over(
    request_id uuid, actor text, host text, reason text, new_generation smallint,
    allow_publication boolean DEFAULT false, checked oid[] DEFAULT NULL
) RETURNS TABLE (seq bigint, hash bytea, held_ms double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    deadline timestamptz;
    granted_at timestamptz;
    changed bigint[];
    relations oid[];
    relation oid;
    name text;
    dependents text;
    definition text;
    grants text[];
    statement text;
    outcome public.audit_log;
BEGIN
    PERFORM public.short_transaction();
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a cut-over is made in READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF allow_publication IS NOT TRUE AND EXISTS (SELECT FROM public.token_publications()) THEN
        RAISE EXCEPTION 'the table is published'
            USING ERRCODE = 'dependent_objects_still_exist',
            DETAIL = (SELECT string_agg(p, ', ') FROM public.token_publications() AS p);
    END IF;
    FOR relation IN
        SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.user_logins'::regclass ORDER BY inhrelid
    LOOP
        PERFORM public.token_cut_over_wait(
            clock_timestamp() + current_setting('deadlock_timeout')::interval + interval '1 s'
        );
        EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation::regclass);
    END LOOP;
    deadline := clock_timestamp() + interval '200 ms';
    PERFORM public.token_cut_over_wait(deadline);
    LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE;
    granted_at := clock_timestamp();
    IF 2 <> (
        SELECT count(*) FROM public.data_keys
        WHERE purpose = 'token' AND state = 'pending' AND generation = new_generation
    ) THEN
        RAISE EXCEPTION 'generation % is not pending', new_generation
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM FROM public.data_keys WHERE purpose = 'token' AND state <> 'destroyed' FOR UPDATE NOWAIT;
    changed := ARRAY(
        SELECT key_id FROM public.data_keys WHERE purpose = 'token' AND state IN ('active', 'pending')
    );
    IF EXISTS (
        SELECT FROM public.unexplained_keys(ARRAY(
            SELECT key_id FROM public.data_keys WHERE purpose = 'token' AND state = 'pending'
        ))
    ) THEN
        RAISE EXCEPTION 'no entry of the audit log made generation % pending', new_generation
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM FROM public.key_rotations AS k JOIN public.rotation_ranges AS r USING (rotation_id)
    WHERE k.purpose = 'token' FOR UPDATE NOWAIT;
    PERFORM public.token_cut_over_wait(deadline);
    PERFORM public.audit_lock();
    -- LOCK TABLE would go from the view on to the table and each partition, 200 ms for each. This is the
    -- view alone, and changes nothing.
    PERFORM public.token_cut_over_wait(deadline);
    ALTER VIEW public.user_logins_masked OWNER TO vault_etl_owner;
    PERFORM public.token_cut_over_wait(deadline);
    LOCK TABLE ONLY public.user_logins IN ACCESS EXCLUSIVE MODE;
    relations := ARRAY(
        SELECT 'public.user_logins'::regclass::oid
        UNION ALL (
            SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.user_logins'::regclass ORDER BY inhrelid
        )
    );
    FOREACH relation IN ARRAY relations[2:] LOOP
        PERFORM public.token_cut_over_wait(deadline);
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation::regclass);
    END LOOP;

    IF EXISTS (
        SELECT FROM unnest(relations[2:]) AS r (relation) WHERE r.relation <> ALL (checked) AND pg_relation_size(r.relation) > 0
    ) THEN
        RAISE EXCEPTION 'a month was attached after the check' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') INTO dependents
    FROM pg_depend AS d
    JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (relations)
        AND a.attname IN (
            'masked_ip', 'masked_device_id', 'token_generation',
            'next_masked_ip', 'next_masked_device_id', 'next_token_generation'
        )
        AND NOT EXISTS (  -- an index stays with its column, and serves it under its new name
            SELECT FROM pg_class AS c
            WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I')
        )
        AND NOT EXISTS (  -- the constraint that is made again below
            SELECT FROM pg_constraint AS c
            WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
                AND c.conname = 'tokens_of_one_generation'
        )
        AND NOT EXISTS (  -- the view that is made again below; or a temporary one, which ends with its session
            SELECT FROM pg_rewrite AS w JOIN pg_class AS c ON c.oid = w.ev_class
            WHERE d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
                AND (c.oid = 'public.user_logins_masked'::regclass OR c.relpersistence = 't')
        )
        AND NOT EXISTS (
            SELECT FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
            WHERE d.classid = 'pg_proc'::regclass AND f.oid = d.objid AND n.nspname ~ '^pg_temp_'
        );
    IF dependents IS NOT NULL THEN
        RAISE EXCEPTION 'other objects depend on the token columns'
            USING ERRCODE = 'dependent_objects_still_exist', DETAIL = dependents;
    END IF;

    -- What it says now, by name: somebody may have narrowed it since it was made.
    definition := (
        SELECT format(
            'CREATE OR REPLACE VIEW public.user_logins_masked %s AS %s',
            'WITH (' || array_to_string(c.reloptions, ', ') || ')', pg_get_viewdef(c.oid)
        )
        FROM pg_class AS c WHERE c.oid = 'public.user_logins_masked'::regclass
    );

    -- Rights belong to a column and not to its name: taken from all, and given again by name. Who was
    -- given one by somebody with the grant option has it from the owner afterwards.
    grants := ARRAY(
        SELECT format(
            'GRANT %s (%I) ON %s TO %s%s', acl.privilege_type, a.attname, a.attrelid::regclass,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END,
            CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM pg_attribute AS a, aclexplode(a.attacl) AS acl
        WHERE a.attrelid = ANY (relations) AND a.attname IN (
            'masked_ip', 'masked_device_id', 'token_generation',
            'next_masked_ip', 'next_masked_device_id', 'next_token_generation'
        )
    );
    FOR statement IN
        SELECT DISTINCT format(
            'REVOKE ALL (%I) ON %s FROM %s CASCADE', a.attname, a.attrelid::regclass,
            CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        )
        FROM pg_attribute AS a, aclexplode(a.attacl) AS acl
        WHERE a.attrelid = ANY (relations) AND a.attname IN (
            'masked_ip', 'masked_device_id', 'token_generation',
            'next_masked_ip', 'next_masked_device_id', 'next_token_generation'
        )
    LOOP
        EXECUTE statement;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['masked_ip', 'masked_device_id', 'token_generation'] LOOP
        EXECUTE format('ALTER TABLE public.user_logins RENAME COLUMN %I TO %I', name, 'old_' || name);
        EXECUTE format('ALTER TABLE public.user_logins RENAME COLUMN %I TO %I', 'next_' || name, name);
        EXECUTE format('ALTER TABLE public.user_logins RENAME COLUMN %I TO %I', 'old_' || name, 'next_' || name);
    END LOOP;
    -- NOT VALID reads no row: that every one has tokens of this generation was checked before.
    ALTER TABLE public.user_logins DROP CONSTRAINT IF EXISTS tokens_of_one_generation;
    EXECUTE format(
        'ALTER TABLE public.user_logins ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = %s) NOT VALID',
        new_generation
    );
    FOREACH statement IN ARRAY grants LOOP
        EXECUTE statement;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['user_logins_masked_ip', 'user_logins_masked_device_id'] LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', name, 'old_' || name);
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', replace(name, '_masked', '_next_masked'), name);
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', 'old_' || name, replace(name, '_masked', '_next_masked'));
    END LOOP;
    -- Bound to columns too: the same text means the new ones from here on. Its rights stay.
    EXECUTE definition;

    UPDATE public.data_keys SET state = 'decrypt_only' WHERE purpose = 'token' AND state = 'active';
    UPDATE public.data_keys SET state = 'active' WHERE purpose = 'token' AND generation = new_generation;
    DELETE FROM public.key_rotations WHERE purpose = 'token';
    outcome := public.key_change_write('keys cut-over', request_id, actor, host, reason, changed);
    RETURN QUERY SELECT outcome.seq, outcome.hash,
        extract(epoch FROM clock_timestamp() - granted_at)::double precision * 1000;
END
$$;
REVOKE ALL ON FUNCTION public.token_cut_over(uuid, text, text, text, smallint, boolean, oid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.token_cut_over(uuid, text, text, text, smallint, boolean, oid[]) TO vault_etl_re_encrypt;
