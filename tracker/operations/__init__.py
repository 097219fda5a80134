"""Running the service: bearer keys, the states of sources, heartbeats of queues, readiness."""
