"""What an image holds: its layers, its files, secrets that it leaks."""
