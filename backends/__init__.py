"""Targets: each turns a Network into its own object and runs it."""
