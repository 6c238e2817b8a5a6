"""Moves bytes: connections of every kind, the peer that runs a link over one, the ends and relays of streams.

What is decided here is only when and where bytes move; what they mean is `stead.protocol`. Everything runs on asyncio.
"""
