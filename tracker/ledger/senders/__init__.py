"""Transfers whose senders are still to be asked for, as rows."""
