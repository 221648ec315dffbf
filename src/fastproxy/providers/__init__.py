"""Where dynamic configuration comes from. A provider is given `publish`, and knows nothing of who listens."""
