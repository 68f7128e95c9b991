-- Pages of a detached month, by event.
--% for event in events

-- name: page_{{ event.name.raw }}
SELECT record_id, subject, token_generation, {{ event.personal|map(attribute='token')|join(', ') }}, {{ event.ciphertexts|join(', ') }},
--% for p in event.personal
    NULL::uuid,
--% endfor
    found
FROM vault_etl.{{ event.name.plus('_retoken_page') }}(%(claim)s, %(after)s::uuid, %(limit)s, %(bytes)s)

-- name: store_{{ event.name.raw }}
-- Stores what `make_stage_…` and `copy_stage_…` of tokens.sql staged.
SELECT vault_etl.{{ event.name.plus('_retoken_fill') }}(
    %(claim)s, %(generation)s::smallint, array_agg(record_id), array_agg(token_generation),
--% for p in event.personal
    array_agg({{ p.token }}), array_agg({{ p.ciphertext }}), array_agg({{ p.next_token }}){{ ',' if not loop.last }}
--% endfor
)
FROM pg_temp.stage_tokens_{{ event.name.raw }}
--% endfor
