"""A fake that is otherwise real: it keeps its state through restarts, obeys the contract, and misbehaves on request.

Contract: `driver.ScriptedDriver` with a `script.Script` of what goes wrong and how slowly; `channel` cuts byte streams.
"""
