"""The wire, pure: frames, messages, errors, versions, flow control, streams and links. No I/O, no clock, no randomness.

Bytes and times come in as arguments; what is to be sent comes out as return values. `stead.transport` moves them.
"""
