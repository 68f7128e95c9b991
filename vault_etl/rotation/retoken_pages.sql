-- Pages of a detached month, by event.
--% for event in events

-- name: page_{{ event.name.raw }}
SELECT record_id, _subject, token_generation, {{ event.tokens|join(', ') }}, {{ event.ciphertexts|join(', ') }},
    {{ 'NULL::uuid, ' * event.next_tokens|length }}_found
FROM vault_etl.{{ event.name.plus('_retoken_page') }}(%(claim)s, %(after)s::uuid, %(limit)s, %(bytes)s)

-- name: store_{{ event.name.raw }}
-- Stores what `make_stage_…` and `copy_stage_…` of tokens.sql staged.
SELECT vault_etl.{{ event.name.plus('_retoken_fill') }}(
    %(claim)s, %(generation)s::smallint, array_agg(record_id), array_agg(token_generation),
--% for value in event.personal
--% for token, next in value.token_pairs
    old_{{ token.raw }} => array_agg({{ token }}), new_{{ token.raw }} => array_agg({{ next }}),
--% endfor
    old_{{ value.ciphertext.raw }} => array_agg({{ value.ciphertext }}){{ ',' if not loop.last }}
--% endfor
)
FROM pg_temp.stage_tokens_{{ event.name.raw }}
--% endfor
