-- Where lines come from, for the role ingest.

-- name: find
SELECT source_id, points FROM public.file_source(%(known_by)s)

-- name: reached
SELECT public.file_load_reached(%(load_id)s, %(source_id)s, %(lines)s, %(digest)s)

-- name: loaded
SELECT public.file_load_whole(%(load_id)s, %(source_id)s, %(agreed)s::bigint[])
