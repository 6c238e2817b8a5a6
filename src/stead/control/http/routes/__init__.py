"""The routes of `/api/v1`, one file a noun: decode, call a service, encode. `ROUTES` of every file are put together here."""
