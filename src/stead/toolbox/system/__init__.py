"""The system area: the machine that a workspace is, or that it shares.

`contract.py` says what can be asked. What the kernel tells (`host`, `network`, `disks`, `processes`, `metrics`) is read from
/proc and netlink, without programs; `services`, `packages`, `cloud`, `power` and the journal go through the system's own
programs. What this system has not is "unsupported", never an empty answer.
"""
