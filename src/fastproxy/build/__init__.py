"""From the configuration as documents have it to the compiled objects that serve."""
