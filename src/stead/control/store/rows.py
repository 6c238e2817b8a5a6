"""The two names of the database library that repositories and services pass on: everything else of it stays in the store."""

from sqlalchemy import Connection as Connection
from sqlalchemy import Row as Row

__all__ = ["Connection", "Row"]
