"""The control plane: API, state, routing, web app. The only program with the database of record."""
