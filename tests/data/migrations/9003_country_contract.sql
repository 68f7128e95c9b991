-- Contract, in a later version: no worker of the one before runs any more. The constraint proves NOT NULL, so no row is read.
SET LOCAL ROLE vault_etl_owner;

ALTER TABLE public.user_logins ALTER COLUMN country SET NOT NULL;
ALTER TABLE public.user_logins DROP CONSTRAINT country_is_filled;
DROP TRIGGER country ON public.user_logins;
DROP FUNCTION public.user_logins_country();
