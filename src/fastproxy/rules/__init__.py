"""The rule language of routers: text -> tree -> flat program. Knows neither asyncio nor the compiled core."""
