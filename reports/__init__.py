"""Evaluation and its rendering."""
