"""The event log: rows written with what they tell of, numbered and fanned out, read by cursor."""
