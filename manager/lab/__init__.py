"""A cluster on one machine: for demonstrations, and for every integration test (docs/adr/0005)."""
