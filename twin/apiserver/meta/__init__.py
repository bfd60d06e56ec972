"""The lowest layer of the API server: error values, selectors, and helpers for objects as plain JSON."""
