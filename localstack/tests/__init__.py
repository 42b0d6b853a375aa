"""Tests of the emulation: one case for each statement of AWS that it follows."""
