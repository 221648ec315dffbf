"""The routing table in plain Python: all routes in order, asked one after the other."""


class Table:
    def __init__(self, routes=()):
        self.routes = sorted(routes, key=lambda route: (-route.priority, route.order, route.name))

    def match(self, request):
        return next((route for route in self.routes if route.rule(request)), None)

    def updated(self, removed, added):
        gone = set(removed)
        return Table([route for route in self.routes if route not in gone] + list(added))
