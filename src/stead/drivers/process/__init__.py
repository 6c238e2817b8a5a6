"""Workspaces as directories of this machine, their processes under bubblewrap where it works, plain otherwise.

Contract: `driver.ProcessDriver`. The rest serves it: `layout` (what lies where), `identity` (who a process is), `sandbox`
(bubblewrap), `cgroups` (limits), `launch` (starting the holder), `leftovers` (ending what nobody holds any more).
"""
