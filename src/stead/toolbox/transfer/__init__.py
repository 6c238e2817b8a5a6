"""Transfers that do not fit one call: in chunks, for who has only requests and answers, and uploads that go on after a cut.

Contract: `contract.Transfer` is the face. `chunks` holds the transfers in chunks that are under way, `partial` the uploads that
were cut off and are kept for a day.
"""
