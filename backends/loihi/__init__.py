"""The Loihi target."""
