import emulation.upkeep  # noqa: F401
