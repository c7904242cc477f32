"""Turngate: phone calls in, AssemblyAI turns out.

The map, in the order in which data flows; imports go down this list and never up:

    cli, __main__     the command line
    app               composition root: the media site and the admin site, shared resources, start and stop
    carrier           the carrier's socket: the upgrade, and the stream behind it
    admission         who may stream
    streams           which streams are alive, the clock's tick, drain
    stream            one stream: audio up, events out, one outcome
    track             one track of it: its backlog, and its sessions in a row
    session           one AssemblyAI session: its socket, its machine, its time
    upstream          the AssemblyAI socket
    wire              where we lean on internals of aiohttp and websockets
    publisher         the outbox to Redis
    client            what a subscriber needs
    view              events on a terminal
    protocol/         both protocols, without I/O
    events            what is published
    metrics, logs     what is exported and what is logged
    config, errors    every setting; every way to end
    sandbox/          AssemblyAI and a carrier to develop against, an embedded Redis, the demo

    carrier socket ─▶ dialect codec ─▶ stream ─▶ track ─▶ session ─▶ AssemblyAI
    Redis ◀── outbox ◀── events ◀── turns on the stream's timeline ◀──┘

From the carrier's message to the chunk's write there is no await: one call, `Stream.receive`. Whatever has to wait lives
in tasks beside it, and meets the audio at one bounded ring a track, the backlog.
"""

__version__ = "0.1.0"
