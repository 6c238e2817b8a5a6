"""Workspaces as directories of this machine, their processes under bubblewrap where it works, plain otherwise.

Contract: `driver.ProcessDriver`. The rest serves it: `layout` (what lies where), `identity` (who a process is), `sandbox`
(bubblewrap), `etc` and `mirror` (the /etc of workspaces), `cgroups` (limits), `launch` and `nursery` (a holder, started or
forked), `sockets` (the way to a guest), `leftovers` (ending what nobody holds any more), `trial` (one start, to see
how it goes here).
"""
