"""One container: start it, wait for it, send it traffic, look inside, stop it. Lessons and the audit share it."""
