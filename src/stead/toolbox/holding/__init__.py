"""The holder: the small program that owns a workspace's execs and outlives whoever asks for them.

Here belong starting, ending and recording processes, in one selectors loop, with the standard library alone: the program
stays small, starts in a few milliseconds and has nothing that can go wrong later. Who talks to it (a guest, a local
toolbox) does so in JSON lines over a socket pair; see `engine`.
"""
