-- Where the lines of files came from. Of a content or a name nothing is kept but a keyed digest.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE public.file_sources (
    source_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    known_by bytea NOT NULL UNIQUE CHECK (length(known_by) = 32),
    first_loaded_at timestamptz NOT NULL DEFAULT now(),
    loaded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE public.file_sources IS 'Sources of lines. Record ids are made of source_id, which is random.';

-- How far the loads of a named source got: up to so many lines of this digest may be stored, or, of a
-- whole load, are. A load that agrees with others takes their place.
CREATE TABLE public.file_loads (
    load_id uuid PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES public.file_sources,
    lines bigint NOT NULL CHECK (lines > 0),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    whole boolean NOT NULL DEFAULT false
);
CREATE INDEX file_loads_source_id ON public.file_loads (source_id);

-- Finds a source, or draws it. Who holds the source key can ask whether a guessed content was loaded:
-- one question at a time, and ten a second, from all sessions together. No client holds the lock: these are
-- called by the procedures of 0012_commits.sql.
CREATE FUNCTION public.file_source(known_by bytea, OUT source_id uuid, OUT points bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM public.short_transaction();
    LOCK TABLE public.file_sources IN SHARE ROW EXCLUSIVE MODE;
    PERFORM pg_sleep(0.1);
    INSERT INTO public.file_sources (known_by) VALUES ($1) ON CONFLICT DO NOTHING;
    source_id := (SELECT s.source_id FROM public.file_sources AS s WHERE s.known_by = $1);
    points := ARRAY(
        SELECT DISTINCT l.lines FROM public.file_loads AS l WHERE l.source_id = file_source.source_id
    );
END
$$;
REVOKE ALL ON FUNCTION public.file_source(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.file_source(bytea) TO vault_etl_ingest;

-- Says that a load may have stored so many lines of this digest. False if another load had others
-- there: a comparison is as slow as a look for a source.
CREATE FUNCTION public.file_load_reached(load_id uuid, source_id uuid, lines bigint, digest bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM public.short_transaction();
    LOCK TABLE public.file_loads IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM public.file_loads AS l
        WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1
    ) THEN
        PERFORM pg_sleep(0.1);
        IF EXISTS (
            SELECT FROM public.file_loads AS l
            WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1 AND l.digest <> $4
        ) THEN
            RETURN false;
        END IF;
        DELETE FROM public.file_loads AS l
        WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1 AND NOT l.whole;
    END IF;
    -- Below the end of a whole load nothing new can be stored, so there is nothing to remember.
    IF NOT EXISTS (
        SELECT FROM public.file_loads AS l WHERE l.source_id = $2 AND l.whole AND l.lines > $3
    ) THEN
        DELETE FROM public.file_loads AS l
        WHERE l.load_id = $1 AND l.source_id = $2 AND l.lines < $3 AND NOT l.whole;
        INSERT INTO public.file_loads (load_id, source_id, lines, digest) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.file_load_reached(uuid, uuid, bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.file_load_reached(uuid, uuid, bigint, bytea) TO vault_etl_ingest;

-- Says that all lines which a load has reached are stored. False if another load reached further, or
-- a point that this one has not agreed with.
CREATE FUNCTION public.file_load_whole(load_id uuid, source_id uuid, agreed bigint[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    reached bigint;
BEGIN
    PERFORM public.short_transaction();
    -- Each is compared with each point of the source while others wait.
    IF cardinality(agreed) > 10000 THEN
        RAISE EXCEPTION 'a load agrees with 10,000 points at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE public.file_loads IN SHARE ROW EXCLUSIVE MODE;
    reached := coalesce((
        SELECT l.lines FROM public.file_loads AS l WHERE l.load_id = $1 AND l.source_id = $2
    ), 0);
    IF EXISTS (
        SELECT FROM public.file_loads AS l
        WHERE l.source_id = $2 AND l.load_id <> $1 AND l.lines <> reached
            AND (l.lines > reached OR l.lines <> ALL ($3))
    ) THEN
        RETURN false;
    END IF;
    DELETE FROM public.file_loads AS l WHERE l.source_id = $2 AND l.load_id <> $1;
    UPDATE public.file_loads AS l SET whole = true WHERE l.load_id = $1;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION public.file_load_whole(uuid, uuid, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.file_load_whole(uuid, uuid, bigint[]) TO vault_etl_ingest;
