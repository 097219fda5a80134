"""Validators of watched addresses: what was deposited, and where the consensus layer has it."""
