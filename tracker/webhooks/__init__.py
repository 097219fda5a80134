"""Webhooks: endpoints, their secrets, the guard, delivery with retries, replay and samples."""
