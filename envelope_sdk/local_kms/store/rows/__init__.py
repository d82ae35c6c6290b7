"""Everything that is kept as rows: the SQL of a store, a module for each kind of record."""
