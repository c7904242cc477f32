"""What it takes to develop without a phone or a key, as part of the product.

emulator/    AssemblyAI's Universal-Streaming v3, with faults on request
hearing      what it hears with: recordings that it knows, tone words, detected speech
caller/      a carrier, as Twilio is
redis        a Redis of one's own
demo         all of it at once: a call on the terminal
"""
