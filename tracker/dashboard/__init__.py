"""The page: what the API says, drawn for people on the server, without scripts."""
