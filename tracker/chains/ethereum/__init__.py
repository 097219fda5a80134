"""Ethereum: addresses and their checksum."""
