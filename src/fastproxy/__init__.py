"""fastproxy: a dynamic reverse proxy with a compiled hot path."""
