"""What would become of a request, a connection or a datagram, and why."""
