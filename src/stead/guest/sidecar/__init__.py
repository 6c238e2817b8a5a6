"""The guest's toolbox over plain HTTP, for agents and scripts that speak nothing else: `stead guest serve --http HOST:PORT`.

Here belong the small server (`http`), what runs and is remembered of commands (`commands`, `history`), and the routes, each a
thin translation of a call of the toolbox (`routes`, `repository`). Every route but the health check needs the token.
"""
