"""Keeps the process lean: what is loaded at the start stays, so the collector need not walk it again and again."""

import gc

gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
