"""The compiled half of fastproxy: what a byte meets between the client and the server."""
