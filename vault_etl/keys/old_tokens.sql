-- Tokens of a generation that is not in use, for the roles rotate and re-encrypt.

-- name: clear
SELECT cleared, last
FROM public.clear_old_tokens(%(generation)s::smallint, %(after)s::uuid, %(limit)s)
