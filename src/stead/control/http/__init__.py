"""The HTTP face: one file of routes a noun, and what all routes share. Routes decode, call a service, encode. Litestar lives here only."""
