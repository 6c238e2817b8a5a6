"""How a node makes workspaces: the contract, the registry, the conformance suite, one folder a driver.

A driver knows nothing of the wire, of nodes or of commands beyond their id as a label.
"""
