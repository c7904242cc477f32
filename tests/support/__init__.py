"""A phone system in memory: virtual time, a carrier, AssemblyAI, and calls that read as transcripts."""
