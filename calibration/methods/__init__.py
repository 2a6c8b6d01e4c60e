"""Threshold methods, one a file."""
