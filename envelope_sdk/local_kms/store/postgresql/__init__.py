"""The store in a PostgreSQL database, shared by servers on several hosts. Needs psycopg 3: the extra ``postgresql``."""
