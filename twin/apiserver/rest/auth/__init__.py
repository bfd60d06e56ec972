"""Authentication, RBAC authorization and access reviews. Start reading at `rbac.py`."""
