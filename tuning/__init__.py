"""Search for the options that reach a goal, and measure the choice on rows the search never saw."""
