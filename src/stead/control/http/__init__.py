"""The HTTP face: one file of routes a noun, and what all routes share. Only here is Litestar."""
