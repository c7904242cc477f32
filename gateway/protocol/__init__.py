"""Both protocols and what lies between them, without I/O.

Nothing in here knows an event loop, a socket, a log or a clock: messages go in, events come out, time is an argument.
It imports the standard library, msgspec, audioop and `gateway.errors`, and a test holds it to that.

    dialects/       a carrier's JSON messages to events, one small codec a dialect
    media_stream    what may follow what in a carrier's stream
    audio           frames to lawful chunks; the backlog
    timeline        where audio lies: bytes of a track, session time, stream time
    transcription   AssemblyAI Universal-Streaming v3: messages, and one session's machine
    verdicts        what the end of a session means, by code and text
    lenient         JSON of which some fields are not as they should be
    parameters      AssemblyAI's parameters and the URL they make
    turns           which turn a message belongs to, over several sessions
"""
