"""Middlewares in Python, written by others: `api` is what they import, `load` is what finds them."""
