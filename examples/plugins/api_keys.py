"""A fastproxy plugin: who sends a known key may pass, and the server is told who it is."""

import msgspec

from fastproxy.plugins.api import Middleware, Request, Response, ResponseHead


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    keys: dict[str, str]
    """Key -> name of its user."""

    header: str = "X-Api-Key"
    """The field that holds the key."""


class ApiKeys(Middleware):
    Settings = Settings
    timeout = 5.0  # seconds

    async def on_request(self, request: Request) -> Response | None:
        key = request.header(self.settings.header)
        user = self.settings.keys.get(key or "")
        if user is None:
            return Response(401, {"Content-Type": "text/plain"}, f"send your key in {self.settings.header}\n")
        request.set_header(self.settings.header, "")  # the server has no business with it
        request.set_header("X-User", user)
        return None

    async def on_response(self, request: Request, response: ResponseHead) -> None:
        response.set_header("Cache-Control", "private")
