import emulation.faults  # noqa: F401
