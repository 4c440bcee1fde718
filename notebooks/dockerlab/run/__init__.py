"""One container: start it, wait for it, send it traffic, look into it, stop it. Lessons and the audit share it."""
