"""The program inside a workspace that serves its toolbox over a channel.

Here belong the holder (owns the processes and the guest, outlives both), the guest itself (forked from the holder),
its JSON-RPC face and its calls and streams on the framed link. What can be done lives in `stead.toolbox`; how bytes move
in `stead.transport`. The guest is small on purpose: nothing here imports the control plane's or the SDK's libraries.
"""
