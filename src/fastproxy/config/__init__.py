"""The configuration: files, flags, environment in, frozen values out. Knows neither asyncio nor the core."""
