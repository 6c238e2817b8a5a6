"""Durable orders to nodes: their service for people, and the dispatcher that delivers them."""
