"""The git area: repositories in a workspace, through the git program.

`contract.py` says what can be asked. `command.py` runs git so that nothing is asked of a person, nothing is started that
the caller has no right to start, and what went wrong is an error of the table. The other modules are one noun each.
"""
