"""Measures Stead beside its peers, in one run on one machine, and writes docs/benchmarks.md.

Each module measures one thing and has `async def rows(bench)`, or `rows()` where no server takes part, which yields a `Row` as
soon as it is measured. `peers` starts the programs we compare with. Numbers of one run are worth comparing with each other, not
with those of another machine.
"""
