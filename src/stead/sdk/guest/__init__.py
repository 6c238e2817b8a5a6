"""Talking to one guest directly, over the unix socket that a virtual machine's channel is on the host: without a control plane.

Here belong the JSON-RPC client of the guest protocol, the bridge to qemu-ga where a machine has that instead, and the framed
link over the same socket, on which the whole toolbox works.
"""
