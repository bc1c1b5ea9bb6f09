"""Operations, as plain functions: the session (or database) first, the tenant second. No Flask here."""
