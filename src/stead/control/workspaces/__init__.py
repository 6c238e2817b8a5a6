"""Workspaces: the service for people, and the reconciler that repairs what differs from what was asked."""
