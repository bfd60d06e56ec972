"""The commands of `twin`, by topic: each module has a `register` that hangs its commands on the application."""
