"""What the lessons claim and ask: the exercises."""
