"""Label packs: what a pack says of itself, and its rows."""
