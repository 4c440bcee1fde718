"""The embedded engine: Docker's own packages, fetched and started by the laboratory. Linux only."""
