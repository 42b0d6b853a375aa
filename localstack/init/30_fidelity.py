import emulation.fidelity  # noqa: F401
