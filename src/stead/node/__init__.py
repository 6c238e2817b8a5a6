"""The daemon on a machine: dials out to the control plane and runs workspaces with drivers.

What belongs here: link, journal, supervisor, operations, channels to guests, inventory and health. How a workspace is made
belongs to `stead.drivers`; what bytes mean to `stead.protocol`. Workspaces go on when this program ends.
"""
