"""A token knows the token that made it.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of those that are there it is not known."""
    op.add_column("tokens", sa.Column("made_by", sa.Text(), nullable=True))
    op.create_index(op.f("ix_tokens_made_by"), "tokens", ["made_by"], unique=False)
