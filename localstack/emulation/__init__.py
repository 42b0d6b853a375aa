"""What runs inside LocalStack's process: the fidelity fixes, the faults, and the lifeline."""
