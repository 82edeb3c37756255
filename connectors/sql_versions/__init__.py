"""Migrations of the SQL store, in order; each is fixed once it is released. Alembic loads them by path."""
