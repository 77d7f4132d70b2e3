"""Measurements side by side: every figure of the documentation comes from a command here that prints it."""
