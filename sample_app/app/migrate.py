"""Bring the database to the form that the application needs: `python -m app.migrate`, before the application starts."""

import sqlite3

with sqlite3.connect("/data/shop.db") as database:
    database.execute("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT)")
print("migrated")
