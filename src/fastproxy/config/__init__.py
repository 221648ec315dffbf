"""The configuration: files, flags and environment in, frozen values out. Knows neither asyncio nor the core."""
