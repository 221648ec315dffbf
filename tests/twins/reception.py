"""Who decides about TLS and UDP, in plain words: everything looked at anew, whatever it was before."""

from fastproxy.config.tls import DEFAULT


def options_of(claims, table, name):
    """The options that HTTP routers want for a name on an entry point; None: none has the name."""
    hosts = {}
    for claim in claims:
        if table in claim.tables:
            hosts.update((host, claim.options) for host in claim.hosts if host != "*")
    return hosts.get(name) or hosts.get("*." + name.partition(".")[2])


def has_rest(claims, table):
    """Whether an HTTP router there takes any name."""
    return any(
        table in each.tables and not each.is_stream and (not each.hosts or "*" in each.hosts)
        for each in claims
    )


def is_watched(claims, table):
    """Whether somebody speaks TLS there."""
    return any(table in each.tables for each in claims)


def certificate_of(pairs, name):
    """The certificate for a name: sets of names in reverse order, the first with it or its wildcard."""
    rest = "*." + name.partition(".")[2]
    for found in sorted(pairs, key=lambda each: ",".join(each.names), reverse=True):
        if name in found.names or rest in found.names:
            return found
    return None


def unused(pairs):
    """Name -> name of the first with the same names, of all certificates but the first of each set."""
    first, others = {}, {}
    for name, pair in pairs.items():
        if first.setdefault(pair.names, name) != name:
            others[name] = first[pair.names]
    return others


def moved(claims):
    """Router -> entry points on which it gets the default options, of (router, point, hosts, options)."""
    found = {}
    while True:
        now = [
            (router, point, hosts, DEFAULT if point in found.get(router, ()) else options)
            for router, point, hosts, options in claims
        ]
        more = [
            (router, point)
            for router, point, hosts, options in now
            if options != DEFAULT
            and (
                not hosts
                or any(
                    theirs != options and where == point and set(hosts) & set(names)
                    for _, where, names, theirs in now
                )
            )
        ]
        if not more:
            return found
        for router, point in more:
            found.setdefault(router, set()).add(point)


def accepted(name, built, failures):
    """Options, or why there are none: (terms, '') or (None, reason)."""
    if name in built:
        return built[name], built[name].fault
    if name in failures:
        return None, f'TLS options "{name}" is disabled: {failures[name]}'
    return None, "" if name == DEFAULT else f"unknown TLS options: {name}"


def flows_of(flows, points):
    """Entry point -> the last router by name that is on it."""
    return {
        point: max((name for name, flow in flows.items() if point in flow.entry_points), default=None)
        for point in points
    }
