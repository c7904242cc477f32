"""The carriers' dialects by the name that stands in the route: never guessed from what is sent."""

from gateway.protocol.dialects.twilio import TWILIO
from gateway.protocol.media_stream import Dialect

DIALECTS: dict[str, Dialect] = {TWILIO.name: TWILIO}
