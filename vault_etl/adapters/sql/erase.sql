-- Forgetting, for the role erase.

-- name: preview
SELECT matching, records, bodies FROM public.erase_preview(%(record_id)s, %(user_id)s)

-- name: erase
SELECT records, bodies, erased_at, seq, hash FROM public.erase(
    %(request_id)s, %(actor)s, %(host)s, %(record_id)s, %(user_id)s, %(ticket)s, %(reason)s
)
