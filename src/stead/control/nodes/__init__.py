"""Nodes: the service for people, the registry of who is connected, and the whole life of one node link."""
