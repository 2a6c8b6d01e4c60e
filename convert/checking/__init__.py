"""What becomes of every node of a file, and which part of it converts."""
