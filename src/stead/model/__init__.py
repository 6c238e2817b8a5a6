"""Pure nouns and rules: ids, the states of workspaces and commands, placement. Events and facts in, decisions out.

No I/O, no clock, no randomness: what time it is and what is random come in as arguments.
"""
