"""Stead: one self-hosted control plane for workspaces.

Each package below says in its own docstring what belongs there. This module holds the version and nothing else.
"""

__version__ = "0.1.0"
