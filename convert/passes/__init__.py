"""Passes: Graph to Graph, one a file."""
