"""The history of the schema: one revision a file, never changed once released. `env` is Alembic's entry."""
