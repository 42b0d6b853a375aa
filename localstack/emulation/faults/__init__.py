"""Faults on demand, token buckets, lagging reads, and a log of calls, for each account apart. `localstack/README.md` has the interface.

Importing this package puts it in place; it needs none of the fidelity fixes.
"""

from . import endpoint, interception  # noqa: F401
