"""The CPU simulator."""
