"""Everything Frugal raises by itself.

::

    FrugalError
     ├── ConfigurationError (ValueError)   an argument is wrong: the message names value, limit and fix
     │    ├── UnknownModelError            a "provider:model" string that cannot be resolved
     │    └── RecordingsError              a recordings file that cannot be used as it is
     ├── ScorerError                       a scorer raised or returned something that is not a score
     └── StoreError                        a cache's store cannot be reached or read

    FrugalWarning (UserWarning)            something works, but not as well as it could: the message names the fix

A provider's own exceptions are never wrapped: what the last tier raises is what the caller sees.
"""

from __future__ import annotations


class FrugalError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(FrugalError, ValueError):
    """An argument is wrong; nothing was called."""


class UnknownModelError(ConfigurationError):
    """A model was named by a string that no provider package answers to."""


class RecordingsError(ConfigurationError):
    """A file of recorded answers is malformed, incomplete or inconsistent."""


class ScorerError(FrugalError):
    """A scorer raised, or returned something that is neither a number in [0, 1] nor `None`."""


class FrugalWarning(UserWarning):
    """Something works, but not as well as it could."""


class StoreError(FrugalError):
    """A cache's store cannot be reached, or holds something that cannot be used. Wrappers go on without the cache."""
