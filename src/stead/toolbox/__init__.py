"""What can be done in a workspace: the contract, its local and its scripted implementation, and the behaviours of all.

Here belong files confined to a root, execs and their output, and what proves an implementation right. Nothing here knows
a wire; `holding` is the small program that owns the processes and uses only the standard library.
"""
