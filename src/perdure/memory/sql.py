"""Every statement of the storage in a database."""

# ruff: noqa: S608  a table's name cannot be a parameter; it is an identifier, which the storage checks

from __future__ import annotations


class Sql:
    """The statements, for one table of rows and the table that describes its columns.

    Args:
        table: an identifier.
    """

    def __init__(self, table: str) -> None:
        rows, columns = f'"{table}"', f'"{table}_columns"'
        self.rows = rows
        self.open = f"""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            PRAGMA secure_delete = ON;
            CREATE TABLE IF NOT EXISTS {columns}
                (place INTEGER PRIMARY KEY, name TEXT, dtype TEXT, shape TEXT);
            CREATE TABLE IF NOT EXISTS {rows} (slot INTEGER PRIMARY KEY);
            """
        self.layout = f"SELECT name, dtype, shape FROM {columns} ORDER BY place"
        self.undescribe = f"DELETE FROM {columns}"
        self.describe = f"INSERT INTO {columns} (place, name, dtype, shape) VALUES (?, ?, ?, ?)"
        self.count = f"SELECT COUNT(*) FROM {rows}"
        self.drop = f"DROP TABLE IF EXISTS {rows}"
        self.delete = f"DELETE FROM {rows} WHERE slot = ?"
        self.move = f"UPDATE {rows} SET slot = ? WHERE slot = ?"
        self.arrive = f"UPDATE {rows} SET slot = -1 - slot WHERE slot < 0"
        self.rewrite = "VACUUM"
        self.empty_log = "PRAGMA wal_checkpoint(TRUNCATE)"

    def create(self, columns: int) -> str:
        """A table of so many columns beside the slot."""
        cells = "".join(f", c{i} BLOB NOT NULL" for i in range(columns))
        return f"CREATE TABLE {self.rows} (slot INTEGER PRIMARY KEY{cells})"

    def put(self, columns: int) -> str:
        """Write a row into a slot, whether it is filled or not."""
        names = "".join(f", c{i}" for i in range(columns))
        marks = ", ?" * columns
        new = ", ".join(f"c{i} = excluded.c{i}" for i in range(columns))
        return (
            f"INSERT INTO {self.rows} (slot{names}) VALUES (?{marks}) "
            f"ON CONFLICT (slot) DO UPDATE SET {new}"
        )

    def select(self, slots: int) -> str:
        """Whole rows of so many slots, in no order."""
        return f"SELECT * FROM {self.rows} WHERE slot IN ({', '.join('?' * slots)})"

    def select_column(self, place: int) -> str:
        """One column of all rows, in order."""
        return f"SELECT c{place} FROM {self.rows} ORDER BY slot"
