"""Bring the database to the form that the application needs: `python -m app.migrate`, before the application starts.

It keeps the database's version in the database, and does what that version lacks.
"""

import sqlite3

with sqlite3.connect("/data/shop.db") as database:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version < 1:
        database.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute("PRAGMA user_version = 1")
print("migrated a database of version", version)
