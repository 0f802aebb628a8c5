"""Runs the statements of `policy athena` on DuckDB, and says which records they return, and why.

athena.py FOLDER: for each FOLDER/N.sql, a table as its first statement says, with the records of
FOLDER/N.ndjson as Athena's SerDe would read them, and its second statement on it. Prints for each a
JSON object: the line of a record, and the reason.
"""

import ipaddress
import json
import pathlib
import re
import sys

try:
    import duckdb
    import sqlglot
    from sqlglot import exp
except ImportError:
    sys.exit(77)


def read_as(kind, value):
    """A value as a column of this type."""
    if value is None:
        return None
    if kind.this == exp.DataType.Type.STRUCT:
        members = {key.lower(): member for key, member in value.items()} if isinstance(value, dict) else {}
        return {part.name: read_as(part.args["kind"], members.get(part.name)) for part in kind.expressions}
    if kind.this == exp.DataType.Type.ARRAY:
        return [read_as(kind.expressions[0], item) for item in value] if isinstance(value, list) else None
    if kind.this == exp.DataType.Type.MAP:
        return None
    if isinstance(value, str):
        return value
    return json.dumps(value)


# DuckDB has such functions in an extension, which is not at hand.
ADDRESS_IS_IN = re.compile(r"contains\('([^']+)', TRY_CAST\(sourceipaddress AS IPADDRESS\)\)")


def one_of(addresses, network):
    inside = [repr(address) for address in sorted(addresses) if is_in(network, address)]
    return f"sourceipaddress IN ({', '.join(inside)})" if inside else "FALSE"


def is_in(network, address):
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def judged(statements, records):
    addresses = {record.get("sourceIPAddress") for record in records} - {None}
    statements = ADDRESS_IS_IN.sub(lambda found: one_of(addresses, found[1]), statements)
    # Athena takes one statement at a time, and reads the second by another grammar than the first.
    create, query = (sqlglot.parse_one(statement, read="athena") for statement in statements.split(";\n", 1))
    columns = {column.name: column.args["kind"] for column in create.find(exp.Schema).expressions}
    connection = duckdb.connect(config={"threads": 1})
    table = create.find(exp.Table).name
    types = ", ".join(f'"{name}" {kind.sql(dialect="duckdb")}' for name, kind in columns.items())
    connection.execute(f'CREATE TABLE "{table}" ({types}, day VARCHAR)')
    rows = []
    for line, record in enumerate(records):
        record = {key.lower(): value for key, value in record.items()}
        record["eventid"] = str(line)
        # A text is no JSON to Trino, and what is none is NULL.
        if isinstance(record.get("requestparameters"), str):
            record["requestparameters"] = None
        rows.append([*(read_as(kind, record.get(name)) for name, kind in columns.items()), "2026/11/20"])
    marks = ", ".join("?" * (len(columns) + 1))
    connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)
    rows = connection.execute(query.sql(dialect="duckdb"))
    names = [column[0] for column in rows.description]
    return {row[names.index("eventid")]: row[names.index("reason")] for row in rows.fetchall()}


def main():
    folder = pathlib.Path(sys.argv[1])
    for path in sorted(folder.glob("*.sql"), key=lambda path: int(path.stem)):
        records = [json.loads(line) for line in path.with_suffix(".ndjson").read_text().splitlines()]
        print(json.dumps(judged(path.read_text(), records)))


main()
