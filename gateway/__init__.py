"""Turngate: phone calls in, AssemblyAI turns out.

The map, in the order in which data flows; imports go down this list and never up:

    __main__, cli     the command line
    check             whether settings, Redis and AssemblyAI's key work
    shell             what all commands share: sentences, signals, exit statuses
    tail              a call's transcript on a terminal
    follow            all calls at once, and which of them
    app               composition root: the media site and the admin site, shared resources, start and stop
    config            every setting
    faults            what is wrong with one, in words
    carrier           the carrier's socket: the upgrade, and the stream behind it
    admission         who may stream
    refusals          who was turned away
    streams           which streams are alive, the clock's tick, drain
    stream            one stream: audio up, events out, one outcome
    track             one track of it: its backlog, and its sessions in a row
    losses            what it lost, declared once
    transcript        what its sessions say, as events
    session           one AssemblyAI session: its socket, its machine, its time
    journal           a stream's events, numbered
    watch             the clock's eye on the carrier
    upstream          the AssemblyAI socket
    wire              where we lean on internals of aiohttp and websockets
    publisher         the outbox to Redis
    waiting           what waits for Redis, bounded
    redis_write       one write to Redis: client, script, and what an answer means
    view              events on a terminal
    client            what a subscriber needs
    feed              one key of Redis, live and stored
    order             which event comes next, and when a call is over
    wording           events in words
    metrics           what is exported
    protocol/         both protocols, without I/O
    events            what is published
    logs              what is logged
    log_writer        log lines on their way out
    errors            every way to end
    sandbox/          AssemblyAI and a carrier to develop against, an embedded Redis, the demo

    carrier socket ─▶ dialect codec ─▶ stream ─▶ track ─▶ session ─▶ AssemblyAI
    Redis ◀── outbox ◀── events ◀── turns on the stream's timeline ◀──┘

From the carrier's message to the chunk's write there is no await: one call, `Stream.receive`. Whatever has to wait
lives in tasks beside it, and meets the audio at one bounded ring a track, the backlog.
"""

__version__ = "0.1.0"
