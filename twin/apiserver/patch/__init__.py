"""Patches: JSON patch, merge patch, strategic merge patch, server-side apply. Start at `server_side_apply.py`."""
