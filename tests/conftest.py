"""Settings for all tests."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the playground's matrices are too small for threads

from hypothesis import settings

settings.register_profile("frugal", deadline=None)  # a busy machine is no failure
settings.load_profile("frugal")
