"""The yardstick: what a call costs, and how late its audio and its events are (docs/performance.md).

    machine         cores, compiler, ports
    processes       child processes that never outlive their context
    floor.c         the least that any relay of this kind can do
    carrier_load    the carrier's side: many streams at once
    upstream_sink   AssemblyAI's side: keeps a gateway busy, and measures what arrives
    way_back        a subscriber, for the latency of events
    contender       who is measured
    measurement     one measurement of one contender
    figures         what is measured, by name; rounds to one set of figures
    report          figures to a table
    __main__        `make bench`

None of this is collected by pytest. It needs the dependency group `bench`.
"""
