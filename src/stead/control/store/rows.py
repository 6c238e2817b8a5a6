"""The two names of the database library that repositories and services pass on; all else of it stays in the store."""

from sqlalchemy import Connection, Row

__all__ = ["Connection", "Row"]
