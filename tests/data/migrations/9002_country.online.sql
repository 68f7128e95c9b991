-- The rows that are there already, and the proof that none is left.

UPDATE public.user_logins SET country = coalesce(upper(split_part(locale, '-', 2)), '')
WHERE country IS NULL;

ALTER TABLE public.user_logins ADD CONSTRAINT country_is_filled CHECK (country IS NOT NULL);

CREATE INDEX user_logins_country ON public.user_logins (country) WHERE country <> '';
