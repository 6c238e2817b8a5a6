"""The database of record: schema, migrations, repositories, and the two engines behind one `Store`.

SQLAlchemy, Alembic, sqlite3 and asyncpg live only here. A repository function is synchronous and takes a connection;
`Store.read` and `Store.write` run it where it belongs.
"""
