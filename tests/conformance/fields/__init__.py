"""How the fake handles each field of vLLM's request bodies: a table that is tested, and the page that is made of it."""
