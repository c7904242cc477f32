"""How hypothesis looks for examples: the same ones each time, for as long as it takes.

`HYPOTHESIS_PROFILE=explore` looks for new ones, and for many more.
"""

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
