"""The Nengo target."""
