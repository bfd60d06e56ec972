"""Commands of `twin`: each module has a function `register` that registers its commands."""
