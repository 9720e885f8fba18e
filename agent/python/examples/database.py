"""A table read with SQLAlchemy and pandas, where each new connection is made with the present password.

keyside run --secret db-password -- python database.py postgresql+psycopg://trainer@db.example.com/features
"""

from __future__ import annotations

import sys
from typing import Any

import sqlalchemy
from sqlalchemy import event

import keyside

SECRET = "db-password"  # noqa: S105 - its name


def engine_for(url: str) -> sqlalchemy.Engine:
    """An engine for a URL without a password."""
    engine = sqlalchemy.create_engine(url)

    def use_present_password(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        parameters["password"] = keyside.get_secret(SECRET)

    event.listen(engine, "do_connect", use_present_password)
    # Connections that are in use go on; those that lie in the pool are made anew.
    keyside.on_change(SECRET, lambda _: engine.dispose(close=False))
    return engine


def main() -> None:
    """Reads a table."""
    import pandas  # noqa: PLC0415 - only this needs it

    engine = engine_for(sys.argv[1])
    with engine.connect() as connection:
        print(pandas.read_sql(sqlalchemy.text("SELECT * FROM features"), connection).describe())


if __name__ == "__main__":
    keyside.wait_ready()
    main()
