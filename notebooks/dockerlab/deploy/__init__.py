"""More than one container: Compose, a TLS termination proxy, Swarm, rolling updates."""
