"""Every table of the database, in one metadata. The migrations make exactly this; a test compares them.

Contract: times are seconds since 1970; JSON columns hold canonical msgspec JSON as text and come back as plain values.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class Json(TypeDecorator[Any]):
    """Any msgspec value, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else _decode(value)


Serial = BigInteger().with_variant(Integer, "sqlite")

UNSETTLED = (
    "live IS NULL AND state != 'deleted' AND (desired != state OR (state = 'running' AND reported < generation))"
)
"""Workspaces that differ from what was asked and have no command under way."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# --- workspaces, commands, nodes, events ---------------------------------------------------------------------------

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("node_id", Text),
    Column("driver", Text, nullable=False),
    Column("desired", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("reported", Integer, nullable=False),
    Column("isolation", Text),
    Column("isolation_wanted", Text),
    Column("limits", Json, nullable=False),
    Column("persistence", Text, nullable=False),
    Column("hibernate", Json, nullable=False),
    Column("cpus", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("processes", Integer, nullable=False),
    Column("labels", Json, nullable=False),
    Column("environment", Json, nullable=False),
    Column("setup", Json, nullable=False),
    Column("steps", Json, nullable=False),
    Column("guest_restarts", Integer, nullable=False),
    Column("guest_boot_id", Text, nullable=False),
    Column("error", Json),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("started", Float, nullable=False),
    Column("live", Text),
    Column("sequence", Integer, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("request_key", Text, nullable=False),
    Column("request_print", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Index(
        "uq_workspaces_owner_name",
        "owner",
        "name",
        unique=True,
        sqlite_where=text("state != 'deleted'"),
        postgresql_where=text("state != 'deleted'"),
    ),
    Index(
        "uq_workspaces_owner_request_key",
        "owner",
        "request_key",
        unique=True,
        sqlite_where=text("request_key != ''"),
        postgresql_where=text("request_key != ''"),
    ),
    Index(
        "ix_workspaces_node_id",
        "node_id",
        sqlite_where=text("state != 'deleted'"),
        postgresql_where=text("state != 'deleted'"),
    ),
    Index(
        "ix_workspaces_unsettled",
        "node_id",
        sqlite_where=text(UNSETTLED),
        postgresql_where=text(UNSETTLED),
    ),
    Index("ix_workspaces_name", "name"),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("lease", Float, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("sent", Float),
    Column("acknowledged", Float),
    Column("ended", Float),
    Column("error", Json),
    UniqueConstraint("workspace_id", "sequence"),
    Index(
        "ix_commands_live",
        "node_id",
        "state",
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    ),
    Index(
        "ix_commands_deadline",
        "deadline",
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    ),
    Index("ix_commands_ended", "ended"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("public_key", Text, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("labels", Json, nullable=False),
    Column("max_workspaces", Integer),
    Column("said_labels", Json, nullable=False),
    Column("said_max", Integer, nullable=False),
    Column("facts", Json),
    Column("drivers", Json, nullable=False),
    Column("software", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("health", Json),
    Column("last_seen", Float),
    Column("created", Float, nullable=False),
    Column("version", Integer, nullable=False),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("labels", Json, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
    Column("node_id", Text),
)

events = Table(
    "events",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("data", Json, nullable=False),
    Index("ix_events_subject_seq", "subject", "seq"),
    Index("ix_events_at", "at"),
    sqlite_autoincrement=True,
)

# --- people --------------------------------------------------------------------------------------------------------

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("version", Integer, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("last_used", Float),
    Column("made_by", Text, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("last_used", Float),
)

logins = Table(
    "logins",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("details", Json, nullable=False),
    Index("ix_audit_actor_seq", "actor", "seq"),
    Index("ix_audit_subject_seq", "subject", "seq"),
    Index("ix_audit_at", "at"),
    sqlite_autoincrement=True,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Integer),
    Column("body", Text),
    Column("created", Float, nullable=False),
    Index("ix_idempotency_created", "created"),
)
