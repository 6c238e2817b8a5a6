"""Alembic's entry: runs the revisions on the connection that it is given, in the transaction of that connection."""

from __future__ import annotations

from alembic import context

from stead.control.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
