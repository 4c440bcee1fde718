"""What one lesson, or one audit, holds open: a lab with its workspace, its labels, and what it leaves to sweep."""
